//! What a receiver answers, and what that does with the lines of the request.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::serve::{Reply, Whole, is_success};

/// How one push is answered.
///
/// An answer with a status below 300 keeps the lines that Loki would keep; every other answer keeps none unless
/// it says so.
///
/// A broken body needs a status that has one: after 204 or 304 a client takes its bytes for the start of the next
/// answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What Loki would answer.
    Ok,
    /// As [`Ok`](Self::Ok), then closes the connection, which nothing in the answer has said.
    OkThenClose,
    /// This status without a body.
    Status(u16),
    /// This status with these headers; a repeated or malformed one is sent as it is.
    StatusWithHeaders(u16, Vec<(String, String)>),
    /// This status, saying when to come back.
    StatusWithRetry(u16, RetryAfter),
    /// This status with this body.
    StatusWithBody(u16, Vec<u8>),
    /// As [`Ok`](Self::Ok) after this time; keeps nothing when the sender leaves before.
    Delay(Duration),
    /// Reads the push and never answers.
    Hang,
    /// As [`Hang`](Self::Hang), but the lines are kept: a success that the sender does not hear of.
    StoreThenHang,
    /// Reads the push and closes the connection without an answer.
    Cut,
    /// As [`Cut`](Self::Cut), but the lines are kept: a success that the sender does not hear of.
    StoreThenCut,
    /// Reads the push and resets the connection (RST).
    Reset,
    /// 307 to this URL: a client that follows it sends the push and its credentials there.
    Redirect(String),
    /// This status and a body of 1 GiB, as fast as it is taken.
    EndlessBody(u16),
    /// This status and a body of a megabyte with `Content-Encoding: gzip` that is 1 GiB when unpacked.
    GzipBomb(u16),
    /// This status and a body of one byte each 100 ms, for ever.
    Drip(u16),
    /// This status and the start of a body (`started`) that never goes on.
    StuckBody(u16),
}

/// The two forms of `Retry-After`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryAfter {
    /// This many seconds from now.
    Seconds(u64),
    /// At this time, to the second, as an HTTP date.
    At(SystemTime),
}

/// What a scripted answer does: whether the lines are kept, when, and what goes over the wire.
pub(super) enum Plan {
    /// Loki's own answer, after this time.
    Judge { delay: Duration, closes: bool },
    /// This reply, whatever Loki would say.
    Scripted { keeps: bool, reply: Reply },
}

impl Answer {
    pub(super) fn plan(self) -> Plan {
        let judge = |delay, closes| Plan::Judge { delay, closes };
        let scripted = |keeps, reply| Plan::Scripted { keeps, reply };
        let whole = |whole: Whole| scripted(is_success(whole.status), Reply::Whole(whole));
        match self {
            Self::Ok => judge(Duration::ZERO, false),
            Self::OkThenClose => judge(Duration::ZERO, true),
            Self::Delay(delay) => judge(delay, false),
            Self::Status(status) => whole(Whole::status(status)),
            Self::StatusWithHeaders(status, headers) => whole(Whole {
                headers,
                ..Whole::status(status)
            }),
            Self::StatusWithRetry(status, after) => {
                whole(Whole::status(status).with_header("Retry-After", after.text()))
            }
            Self::StatusWithBody(status, body) => whole(Whole {
                body: Bytes::from(body),
                ..Whole::status(status)
            }),
            Self::Redirect(url) => whole(Whole::status(307).with_header("Location", url)),
            Self::Hang => scripted(false, Reply::Hang),
            Self::StoreThenHang => scripted(true, Reply::Hang),
            Self::Cut => scripted(false, Reply::Cut),
            Self::StoreThenCut => scripted(true, Reply::Cut),
            Self::Reset => scripted(false, Reply::Reset),
            Self::EndlessBody(status) => scripted(is_success(status), Reply::Endless(status)),
            Self::GzipBomb(status) => scripted(is_success(status), Reply::GzipBomb(status)),
            Self::Drip(status) => scripted(is_success(status), Reply::Drip(status)),
            Self::StuckBody(status) => scripted(is_success(status), Reply::Stuck(status)),
        }
    }
}

impl RetryAfter {
    fn text(&self) -> String {
        match self {
            Self::Seconds(seconds) => seconds.to_string(),
            Self::At(time) => httpdate::fmt_http_date(*time),
        }
    }
}
