//! What happened to every record.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::Failure;

/// Why a record was not delivered. The first five are refused at the queue, the rest failed on the way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Discard {
    /// The queue held its capacity.
    QueueFull,
    /// Dropped by severity because the queue was above 80 %.
    Shed,
    /// The record came after the shutdown had begun.
    AlreadyShutdown,
    /// The record alone was longer than a record may be.
    RecordTooLong,
    /// It was about this delivery itself, whose own records must not wait for it.
    SelfNotice,
    /// The destination refused it for good.
    Rejected,
    /// The destination refused our credentials.
    Unauthorized,
    /// The destination took the batch but not this record.
    PartialSuccess,
    /// A single record the destination will not take at its size.
    TooLarge,
    /// Given up after the retry window.
    RetriesExhausted,
    /// Not delivered when the shutdown's deadline came.
    Shutdown,
}

impl Discard {
    /// Every reason, in the order of the figures in [`Status::discarded`].
    pub const ALL: [Self; 11] = [
        Self::QueueFull,
        Self::Shed,
        Self::AlreadyShutdown,
        Self::RecordTooLong,
        Self::SelfNotice,
        Self::Rejected,
        Self::Unauthorized,
        Self::PartialSuccess,
        Self::TooLarge,
        Self::RetriesExhausted,
        Self::Shutdown,
    ];

    /// Whether the record was refused at the queue, before any attempt to send it.
    #[must_use]
    pub fn is_enqueue(self) -> bool {
        matches!(
            self,
            Self::QueueFull | Self::Shed | Self::AlreadyShutdown | Self::RecordTooLong | Self::SelfNotice
        )
    }

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Shed => "shed",
            Self::AlreadyShutdown => "already_shutdown",
            Self::RecordTooLong => "record_too_long",
            Self::SelfNotice => "self_notice",
            Self::Rejected => "rejected",
            Self::Unauthorized => "unauthorized",
            Self::PartialSuccess => "partial_success",
            Self::TooLarge => "too_large",
            Self::RetriesExhausted => "retries_exhausted",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The last failed attempt.
#[derive(Debug, Clone)]
pub struct LastError {
    /// When it failed.
    pub at: SystemTime,
    /// Cleaned text, at most 256 characters.
    pub message: String,
}

/// A reading of every figure of one delivery; all zero for one that does not exist.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Records offered to the queue since the start.
    pub created: u64,
    /// Records the destination has.
    pub delivered: u64,
    /// Records not delivered, in the order of [`Discard::ALL`].
    pub discarded: [u64; Discard::ALL.len()],
    /// Records waiting or in flight.
    pub queued: u64,
    /// Bytes of the records waiting or in flight.
    pub queued_bytes: usize,
    /// Bound of `queued_bytes`.
    pub capacity_bytes: usize,
    /// Whether a request is out.
    pub in_flight: bool,
    /// Attempts that were repeated.
    pub retries: u64,
    /// When the destination last took a batch; `None` if it never did.
    pub last_success: Option<SystemTime>,
    /// The last failure; `None` once a later attempt succeeded.
    pub last_error: Option<LastError>,
    /// Whether the destination refuses our credentials since its last success.
    pub unauthorized: bool,
}

impl Status {
    /// Records not delivered for any reason.
    #[must_use]
    pub fn discarded_total(&self) -> u64 {
        self.discarded.iter().sum()
    }

    /// Records somebody misses: those discarded, without the sink's notices about itself, which went elsewhere.
    #[must_use]
    pub fn lost_total(&self) -> u64 {
        self.losses().map(|(_, count)| count).sum()
    }

    /// The reasons of [`Self::lost_total`], with how many.
    pub fn losses(&self) -> impl Iterator<Item = (Discard, u64)> + '_ {
        Discard::ALL
            .into_iter()
            .filter(|reason| *reason != Discard::SelfNotice)
            .map(|reason| (reason, self.discarded_for(reason)))
            .filter(|(_, count)| *count > 0)
    }

    /// Records discarded for one reason.
    #[must_use]
    pub fn discarded_for(&self, reason: Discard) -> u64 {
        self.discarded.get(reason as usize).copied().unwrap_or_default()
    }
}

/// Figures written by the delivery thread.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) delivered: AtomicU64,
    pub(crate) held: AtomicU64,
    pub(crate) in_flight: AtomicBool,
    pub(crate) retries: AtomicU64,
    send_failed: [AtomicU64; Discard::ALL.len()],
    recent: Mutex<Recent>,
}

#[derive(Debug, Default, Clone)]
struct Recent {
    last_success: Option<SystemTime>,
    last_error: Option<LastError>,
    unauthorized: bool,
}

impl Ledger {
    pub(crate) fn record_delivered(&self, records: usize) {
        self.delivered.fetch_add(records as u64, Relaxed);
        self.held.fetch_sub(records as u64, Relaxed);
    }

    pub(crate) fn record_discarded(&self, reason: Discard, records: usize) {
        if let Some(count) = self.send_failed.get(reason as usize) {
            count.fetch_add(records as u64, Relaxed);
        }
        self.held.fetch_sub(records as u64, Relaxed);
    }

    pub(crate) fn record_success(&self) {
        let mut recent = self.recent.lock();
        *recent = Recent {
            last_success: Some(SystemTime::now()),
            last_error: None,
            unauthorized: false,
        };
    }

    pub(crate) fn record_failure(&self, failure: &Failure) {
        let mut recent = self.recent.lock();
        recent.unauthorized |= failure.unauthorized;
        recent.last_error = Some(LastError {
            at: SystemTime::now(),
            message: failure.message.clone(),
        });
    }

    pub(crate) fn send_failed(&self, reason: Discard) -> u64 {
        self.send_failed
            .get(reason as usize)
            .map_or(0, |count| count.load(Relaxed))
    }

    pub(crate) fn fill(&self, status: &mut Status) {
        let recent = self.recent.lock().clone();
        status.delivered = self.delivered.load(Relaxed);
        status.in_flight = self.in_flight.load(Relaxed);
        status.retries = self.retries.load(Relaxed);
        status.last_success = recent.last_success;
        status.last_error = recent.last_error;
        status.unauthorized = recent.unauthorized;
    }
}
