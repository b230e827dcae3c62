//! What a receiver answers, and what that does with the spans of the request.

use std::time::Duration;

/// How one export request is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Accepts every span.
    Ok,
    /// Accepts no span: the HTTP status over HTTP, the gRPC code with this number over gRPC.
    Status(u16),
    /// As [`Status`](Self::Status), saying when to come back: `Retry-After` in whole seconds over HTTP,
    /// `google.rpc.RetryInfo` over gRPC.
    StatusWithRetry(u16, Duration),
    /// Accepts every span after this time.
    Delay(Duration),
    /// Reads the request and never answers; accepts no span.
    Hang,
    /// Answers success and says that the last `rejected` spans were not taken.
    PartialSuccess {
        /// Spans not taken; 0 makes the message a warning.
        rejected: u32,
        /// The text beside the number.
        message: String,
    },
}

/// What a transport has to answer, after the waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
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
}
