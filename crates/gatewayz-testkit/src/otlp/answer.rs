//! What a receiver answers, and what that does with the spans of the request.

use std::time::Duration;

use crate::serve::{Reply, Whole, is_success};

/// How one export request is answered.
///
/// What is broken on purpose keeps the spans when its HTTP status is a success, and none otherwise. That status is
/// sent over both transports; a gRPC client may read the message without looking at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Accepts every span.
    Ok,
    /// Accepts no span: the HTTP status over HTTP, the gRPC code with this number over gRPC.
    Status(u16),
    /// As [`Status`](Self::Status), saying when to come back: `Retry-After` in whole seconds over HTTP,
    /// `google.rpc.RetryInfo` over gRPC.
    StatusWithRetry(u16, Duration),
    /// Accepts every span after this time; none when the sender leaves before.
    Delay(Duration),
    /// Reads the request and never answers; accepts no span.
    Hang,
    /// As [`Hang`](Self::Hang), but the spans are accepted: a success that the sender does not hear of.
    StoreThenHang,
    /// Reads the request and closes the connection without an answer, over gRPC with every other request that is
    /// open on it; accepts no span.
    Cut,
    /// As [`Cut`](Self::Cut), but the spans are accepted: a success that the sender does not hear of.
    StoreThenCut,
    /// As [`Cut`](Self::Cut), but with a reset (RST).
    Reset,
    /// 307 to this URL; over gRPC an answer without a gRPC status. Accepts no span.
    Redirect(String),
    /// A body of 1 GiB, as fast as it is taken; over gRPC one message of that size.
    EndlessBody(u16),
    /// A body of a megabyte with `Content-Encoding: gzip` that is 1 GiB when unpacked; over gRPC one compressed
    /// message (`grpc-encoding: gzip`).
    GzipBomb(u16),
    /// A body of one byte each 100 ms, for ever; over gRPC one message.
    Drip(u16),
    /// The start of a body that never goes on; over gRPC of a message.
    StuckBody(u16),
    /// Answers success and says that the last `rejected` spans were not taken.
    PartialSuccess {
        /// Spans not taken; 0 makes the message a warning.
        rejected: u32,
        /// The text beside the number.
        message: String,
    },
}

/// What a transport has to answer, after the waiting.
#[derive(Debug, Clone)]
pub(super) enum Verdict {
    Accepted {
        rejected: u32,
        message: String,
    },
    Refused {
        status: u16,
        retry_after: Option<Duration>,
    },
    Malformed,
    /// Goes over the wire as it is.
    Broken(Reply),
}

/// What an answer does: whether the spans are accepted, when, and what is said.
#[derive(Debug)]
pub(super) enum Plan {
    Accept {
        delay: Duration,
        rejected: u32,
        message: String,
    },
    Refuse {
        status: u16,
        retry_after: Option<Duration>,
    },
    Break {
        keeps: bool,
        reply: Reply,
    },
}

impl Answer {
    pub(super) fn plan(self) -> Plan {
        let accept = |delay, rejected, message| Plan::Accept {
            delay,
            rejected,
            message,
        };
        let refuse = |status, retry_after| Plan::Refuse { status, retry_after };
        let broken = |keeps, reply| Plan::Break { keeps, reply };
        match self {
            Self::Ok => accept(Duration::ZERO, 0, String::new()),
            Self::Delay(delay) => accept(delay, 0, String::new()),
            Self::PartialSuccess { rejected, message } => accept(Duration::ZERO, rejected, message),
            Self::Status(status) => refuse(status, None),
            Self::StatusWithRetry(status, after) => refuse(status, Some(after)),
            Self::Hang => broken(false, Reply::Hang),
            Self::StoreThenHang => broken(true, Reply::Hang),
            Self::Cut => broken(false, Reply::Cut),
            Self::StoreThenCut => broken(true, Reply::Cut),
            Self::Reset => broken(false, Reply::Reset),
            Self::Redirect(url) => {
                let redirect = Whole::status(307).with_header("Location", url);
                broken(false, Reply::Whole(redirect))
            }
            Self::EndlessBody(status) => broken(is_success(status), Reply::Endless(status)),
            Self::GzipBomb(status) => broken(is_success(status), Reply::GzipBomb(status)),
            Self::Drip(status) => broken(is_success(status), Reply::Drip(status)),
            Self::StuckBody(status) => broken(is_success(status), Reply::Stuck(status)),
        }
    }
}
