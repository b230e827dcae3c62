//! What a sink is and what it may answer.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{Batch, Status};

/// Longest error text that is kept, in characters.
const MESSAGE_MAX_CHARS: usize = 256;

/// A destination of records. It runs on its own delivery thread and may block until `deadline`.
pub trait Sink: Send + 'static {
    /// Sends one batch. The same batch must give the same bytes at every attempt.
    ///
    /// A sink may keep a reference until it has copied the records; buffers of a batch that is let go when this
    /// returns are used again.
    fn send(&mut self, batch: &Arc<Batch>, deadline: Instant) -> Attempt;
}

/// How one attempt ended.
#[derive(Debug)]
pub enum Attempt {
    /// The destination has every record.
    Delivered,
    /// The destination took the batch but refused `rejected` of its records for good.
    PartlyRejected {
        /// Records that will never be accepted, at most the batch's length.
        rejected: usize,
        /// What the destination said.
        failure: Failure,
    },
    /// The destination will never take this batch; it is not sent again.
    Rejected(Failure),
    /// The batch is too large for the destination; it is cut in half, down to one record.
    TooLarge(Failure),
    /// Worth another attempt.
    Retry {
        /// Shortest wait the destination asked for; `None` leaves it to the backoff.
        after: Option<Duration>,
        /// What went wrong.
        failure: Failure,
    },
}

/// Why an attempt did not deliver everything.
#[derive(Debug, Clone)]
pub struct Failure {
    /// A low-cardinality word for metrics: a status code or `timeout`, `connect`, `write`.
    pub status: Cow<'static, str>,
    /// What to tell an operator: one line, cleaned and cut.
    pub message: String,
    /// Whether the destination refused our credentials.
    pub unauthorized: bool,
}

impl Failure {
    /// A failure whose message is made safe to show: control characters replaced, at most 256 characters.
    #[must_use]
    pub fn new(status: impl Into<Cow<'static, str>>, message: &str) -> Self {
        let message = message
            .chars()
            .take(MESSAGE_MAX_CHARS)
            .map(|character| if character.is_control() { ' ' } else { character })
            .collect();
        Self {
            status: status.into(),
            message,
            unauthorized: false,
        }
    }

    /// Marks a refusal of our credentials (401, 403), which an operator must mend.
    #[must_use]
    pub fn unauthorized(mut self) -> Self {
        self.unauthorized = true;
        self
    }
}

/// Told about each attempt on the delivery thread, for metrics.
pub trait Observe: Send + 'static {
    /// One attempt ended with `status` (`ok` when delivered).
    fn attempt(&self, status: &str, took: Duration);
    /// An attempt will be repeated because of `status`.
    fn retry(&self, status: &str);
    /// A batch was delivered at `now` whose oldest record was queued at `oldest`.
    fn delivered(&mut self, oldest: Instant, now: Instant);
    /// The figures after a failed attempt, after the first batch that is well again, and when records were rejected or
    /// refused since they were last shown.
    fn figures(&mut self, status: &Status);
}
