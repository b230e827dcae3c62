//! Complete answers kept for requests that are the same to the last number, bounded in bytes, for a time per model.

mod control;
mod flight;
mod key;
mod replay;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::Expiry;
use moka::sync::Cache;

pub(crate) use control::CacheControl;
pub(crate) use flight::{Flight, Joined, Landed};
pub(crate) use key::Key;

use crate::catalog::Operation;
use crate::metrics::CandidateMetrics;
use crate::reading::Reading;
use flight::Flights;

/// Larger answers are not kept.
const MAX_ENTRY_BYTES: usize = 2 * 1024 * 1024;
/// What an entry holds beside its bytes.
const ENTRY_OVERHEAD_BYTES: usize = 256;

/// One cache.
#[derive(Debug)]
pub(crate) struct ResponseCache {
    entries: Cache<Key, Arc<Entry>>,
    flights: Arc<Flights>,
}

/// One kept answer.
#[derive(Debug)]
pub(crate) struct Entry {
    stored: Stored,
    stored_at: Instant,
    ttl: Duration,
    /// Of the candidate that answered.
    pub(crate) metrics: Arc<CandidateMetrics>,
    pub(crate) finish_reason: Option<&'static str>,
}

/// An answer in the form in which it came.
#[derive(Debug)]
enum Stored {
    Whole(Bytes),
    Events {
        parts: Bytes,
        /// Sent again only where it is asked for.
        usage: Bytes,
    },
}

/// Collects the events of a stream that may be kept. Empty once they are too many.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    parts: Vec<u8>,
    usage: Vec<u8>,
    is_too_large: bool,
}

/// The right to keep the answer of this call.
#[derive(Debug)]
pub(crate) struct Keeping {
    pub(crate) cache: Arc<ResponseCache>,
    pub(crate) key: Key,
    pub(crate) ttl: Duration,
    /// `None` for a call that does not let others wait.
    pub(crate) flight: Option<Flight>,
}

impl ResponseCache {
    pub(crate) fn new(max_bytes: u64) -> Self {
        let entries = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_: &Key, entry: &Arc<Entry>| u32::try_from(entry.bytes()).unwrap_or(u32::MAX))
            .expire_after(TimeToLive)
            .build();
        Self {
            entries,
            flights: Arc::default(),
        }
    }

    /// An answer that is not older than `max_age`.
    pub(crate) fn get(&self, key: &Key, max_age: Option<Duration>) -> Option<Arc<Entry>> {
        let entry = self.entries.get(key)?;
        let is_fresh = max_age.is_none_or(|max_age| entry.stored_at.elapsed() <= max_age);
        is_fresh.then_some(entry)
    }

    /// Joins the calls for this key.
    pub(crate) fn join(&self, key: Key) -> Joined {
        self.flights.join(key)
    }

    /// Bytes held now.
    pub(crate) fn size_bytes(&self) -> u64 {
        // Otherwise what has expired would count until somebody writes.
        self.entries.run_pending_tasks();
        self.entries.weighted_size()
    }
}

impl Keeping {
    /// Keeps an answer in one piece, if it is complete.
    pub(crate) fn whole(
        self,
        operation: Operation,
        body: &Bytes,
        reading: &Reading,
        metrics: &Arc<CandidateMetrics>,
    ) {
        let is_complete = match operation {
            Operation::Chat => reading.is_worth_keeping(),
            Operation::Embeddings => true,
        };
        if is_complete && body.len() <= MAX_ENTRY_BYTES {
            // A copy: the bytes may be a small part of a large buffer.
            let stored = Stored::Whole(Bytes::copy_from_slice(body));
            self.store(stored, reading, metrics);
        } else {
            self.not_kept();
        }
    }

    /// Keeps a stream, if it is complete.
    pub(crate) fn stream(self, recorder: Recorder, reading: &Reading, metrics: &Arc<CandidateMetrics>) {
        if reading.is_worth_keeping() && !recorder.is_too_large {
            let stored = Stored::Events {
                parts: recorder.parts.into(),
                usage: recorder.usage.into(),
            };
            self.store(stored, reading, metrics);
        } else {
            self.not_kept();
        }
    }

    /// There is nothing to keep: calls that waited go their own way.
    pub(crate) fn not_kept(self) {
        if let Some(flight) = self.flight {
            flight.land(Landed::NotKept);
        }
    }

    fn store(self, stored: Stored, reading: &Reading, metrics: &Arc<CandidateMetrics>) {
        let entry = Entry {
            stored,
            stored_at: Instant::now(),
            ttl: self.ttl,
            metrics: Arc::clone(metrics),
            finish_reason: reading.finish_reason,
        };
        self.cache.entries.insert(self.key, Arc::new(entry));
        if let Some(flight) = self.flight {
            flight.land(Landed::Kept);
        }
    }
}

impl Recorder {
    /// Takes an event of the answer.
    pub(crate) fn part(&mut self, event: &[u8]) {
        if self.parts.len() + event.len() > MAX_ENTRY_BYTES {
            self.is_too_large = true;
            self.parts = Vec::new();
        }
        if !self.is_too_large {
            self.parts.extend_from_slice(event);
        }
    }

    /// Takes the event with the usage.
    pub(crate) fn usage(&mut self, event: &[u8]) {
        if event.len() <= MAX_ENTRY_BYTES / 2 {
            self.usage = event.to_vec();
        }
    }
}

impl Entry {
    /// The answer in one piece; `None` when it came as a stream.
    pub(crate) fn whole(&self) -> Option<Bytes> {
        match &self.stored {
            Stored::Whole(body) => Some(body.clone()),
            Stored::Events { .. } => None,
        }
    }

    /// The answer as events; `None` when it is of no known form.
    pub(crate) fn events(&self, usage_asked: bool) -> Option<Bytes> {
        match &self.stored {
            Stored::Whole(body) => replay::events(body, usage_asked),
            Stored::Events { parts, usage } => {
                let usage: &[u8] = if usage_asked { usage } else { &[] };
                Some([parts, usage, replay::DONE].concat().into())
            }
        }
    }

    fn bytes(&self) -> usize {
        let bytes = match &self.stored {
            Stored::Whole(body) => body.len(),
            Stored::Events { parts, usage } => parts.len() + usage.len(),
        };
        bytes + ENTRY_OVERHEAD_BYTES
    }
}

/// Each entry lives as long as its model says.
#[derive(Debug)]
struct TimeToLive;

impl Expiry<Key, Arc<Entry>> for TimeToLive {
    fn expire_after_create(&self, _: &Key, entry: &Arc<Entry>, _: Instant) -> Option<Duration> {
        Some(entry.ttl)
    }

    fn expire_after_update(
        &self,
        _: &Key,
        entry: &Arc<Entry>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.ttl)
    }
}
