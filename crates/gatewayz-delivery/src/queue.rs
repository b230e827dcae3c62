//! The producers' side: per-thread shards under one byte bound.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use parking_lot::{Mutex, MutexGuard};

use crate::Discard;
use crate::batch::Chunk;
use crate::ledger::{Ledger, Status};

/// A chunk is handed on at this size, so that no buffer grows by doubling.
const CHUNK_BYTES: usize = 64 * 1024;
/// Emptied chunks a shard keeps for reuse.
const SPARE_CHUNKS: usize = 4;

/// How much a record matters when the queue fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Shed first, from 80 % of the capacity.
    Debug,
    /// Shed like `Debug`.
    Info,
    /// Kept until the queue is full.
    Warn,
    /// Kept until the queue is full.
    Error,
    /// May use the reserved part of the capacity.
    Audit,
}

/// Bounds and timing of one queue.
#[derive(Debug, Clone, Copy)]
pub struct QueueSettings {
    /// Most bytes of records waiting or in flight.
    pub capacity_bytes: usize,
    /// Most records waiting or in flight; `usize::MAX` leaves the bound to the bytes.
    pub capacity_records: usize,
    /// Part of the capacity that only audit records may use.
    pub audit_reserve_bytes: usize,
    /// Longest single record.
    pub record_max_bytes: usize,
    /// Size at which a batch is sent without waiting for `linger`.
    pub batch_bytes: usize,
    /// Most bytes of records in one batch (a single chunk may pass it by itself).
    pub batch_max_bytes: usize,
    /// Most records in one batch; `usize::MAX` leaves the bound to the bytes.
    pub batch_max_records: usize,
    /// How long the first record waits for company.
    pub linger: Duration,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            capacity_bytes: 8 * 1024 * 1024,
            capacity_records: usize::MAX,
            audit_reserve_bytes: 0,
            record_max_bytes: 64 * 1024,
            batch_bytes: 256 * 1024,
            batch_max_bytes: 1024 * 1024,
            batch_max_records: usize::MAX,
            linger: Duration::from_millis(5),
        }
    }
}

/// Whether a record was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is queued.
    Queued,
    /// It was refused and counted.
    Refused(Discard),
}

/// The producers' handle. Clones share one queue.
#[derive(Debug, Clone)]
pub struct Queue(pub(crate) Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: &'static str,
    pub(crate) settings: QueueSettings,
    pub(crate) ledger: Ledger,
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    limits: [usize; 5],
    /// Bytes waiting or in flight.
    bytes: CachePadded<AtomicUsize>,
    /// Records refused, so that the delivery thread sees without a lock whether there are new ones.
    refused: AtomicU64,
    /// Records waiting or in flight, counted only when they are bounded.
    records: CachePadded<AtomicUsize>,
    /// The delivery thread sleeps until `bytes` reaches this; `usize::MAX` while it is busy.
    wake_at: CachePadded<AtomicUsize>,
    pub(crate) thread: OnceLock<Thread>,
}

#[derive(Debug)]
struct Shard {
    index: usize,
    open: Chunk,
    sealed: VecDeque<Chunk>,
    spare: Vec<Chunk>,
    created: u64,
    refused: [u64; Discard::ALL.len()],
    closed: bool,
}

impl Queue {
    pub(crate) fn new(name: &'static str, settings: QueueSettings) -> Self {
        let shards = std::thread::available_parallelism()
            .map_or(2, usize::from)
            .next_power_of_two()
            .min(8);
        let unreserved = settings
            .capacity_bytes
            .saturating_sub(settings.audit_reserve_bytes);
        let shed_above = (settings.capacity_bytes / 5 * 4).min(unreserved);
        let shard = |index| {
            CachePadded::new(Mutex::new(Shard {
                index,
                open: Chunk::with_capacity(0),
                sealed: VecDeque::new(),
                spare: Vec::new(),
                created: 0,
                refused: Default::default(),
                closed: false,
            }))
        };
        Self(Arc::new(Shared {
            name,
            settings,
            ledger: Ledger::default(),
            shards: (0..shards).map(shard).collect(),
            limits: [
                shed_above,
                shed_above,
                unreserved,
                unreserved,
                settings.capacity_bytes,
            ],
            bytes: CachePadded::new(AtomicUsize::new(0)),
            refused: AtomicU64::new(0),
            records: CachePadded::new(AtomicUsize::new(0)),
            wake_at: CachePadded::new(AtomicUsize::new(usize::MAX)),
            thread: OnceLock::new(),
        }))
    }

    /// Name of the sink behind it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Counts a record that its maker leaves out, so that the books stay whole.
    pub fn refuse(&self, reason: Discard) {
        self.0.refuse(&mut self.0.shard(), reason);
    }

    /// Appends one record, written by `encode` at the end of the buffer it is given.
    ///
    /// Never waits for room and never fails: a record that is not taken is counted by its reason.
    /// `encode` must only append; it is not called when the queue is known to be full.
    pub fn push(&self, severity: Severity, encode: impl FnOnce(&mut Vec<u8>)) -> Admission {
        let shared = &*self.0;
        let limit = shared.limits[severity as usize];
        let mut shard = shared.shard();
        if shard.closed {
            return shared.refuse(&mut shard, Discard::AlreadyShutdown);
        }
        if shared.bytes.load(Ordering::Relaxed) >= limit {
            let reason = shared.full_reason(severity);
            return shared.refuse(&mut shard, reason);
        }
        if shard.open.bytes.capacity() == 0 {
            shard.open = Chunk::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
        }

        let start = shard.open.end();
        // A record whose encoder panicked half-way must not become part of the next one.
        shard.open.bytes.truncate(start);
        encode(&mut shard.open.bytes);
        let length = shard.open.bytes.len().saturating_sub(start);
        if length > shared.settings.record_max_bytes {
            shard.open.bytes.truncate(start);
            return shared.refuse(&mut shard, Discard::RecordTooLong);
        }
        if shared.bounds_records()
            && shared.records.fetch_add(1, Ordering::Relaxed) >= shared.settings.capacity_records
        {
            shared.records.fetch_sub(1, Ordering::Relaxed);
            shard.open.bytes.truncate(start);
            return shared.refuse(&mut shard, Discard::QueueFull);
        }
        let total = shared.bytes.fetch_add(length, Ordering::SeqCst) + length;
        if total > limit {
            shared.bytes.fetch_sub(length, Ordering::Relaxed);
            if shared.bounds_records() {
                shared.records.fetch_sub(1, Ordering::Relaxed);
            }
            shard.open.bytes.truncate(start);
            let reason = shared.full_reason(severity);
            return shared.refuse(&mut shard, reason);
        }
        if start == 0 {
            shard.open.opened = Instant::now();
        }
        // Counted last: a record whose encoder panics was never one.
        shard.created += 1;
        shard
            .open
            .ends
            .push(u32::try_from(start + length).unwrap_or(u32::MAX));
        if start + length >= CHUNK_BYTES {
            shard.seal();
        }
        drop(shard);

        if total >= shared.wake_at.load(Ordering::SeqCst) {
            shared.wake();
        }
        Admission::Queued
    }
}

impl Shard {
    fn seal(&mut self) {
        let fresh = self.spare.pop().unwrap_or_else(|| Chunk::with_capacity(0));
        let mut full = std::mem::replace(&mut self.open, fresh);
        full.shard = self.index;
        self.sealed.push_back(full);
    }
}

impl Shared {
    fn shard(&self) -> MutexGuard<'_, Shard> {
        thread_local!(static INDEX: Cell<usize> = const { Cell::new(usize::MAX) });
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let index = INDEX.get();
        let index = if index == usize::MAX {
            let assigned = NEXT.fetch_add(1, Ordering::Relaxed);
            INDEX.set(assigned);
            assigned
        } else {
            index
        };
        // The number of shards is a power of two.
        self.shards[index & (self.shards.len() - 1)].lock()
    }

    fn refuse(&self, shard: &mut Shard, reason: Discard) -> Admission {
        shard.created += 1;
        if let Some(count) = shard.refused.get_mut(reason as usize) {
            *count += 1;
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        Admission::Refused(reason)
    }

    /// Records refused so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn bounds_records(&self) -> bool {
        self.settings.capacity_records != usize::MAX
    }

    fn full_reason(&self, severity: Severity) -> Discard {
        let full = self.limits[Severity::Error as usize];
        if severity <= Severity::Info && self.bytes.load(Ordering::Relaxed) < full {
            Discard::Shed
        } else {
            Discard::QueueFull
        }
    }

    /// Wakes the delivery thread once per sleep.
    fn wake(&self) {
        if self.wake_at.swap(usize::MAX, Ordering::SeqCst) != usize::MAX {
            self.unpark();
        }
    }

    /// Wakes the delivery thread, or keeps its next sleep from happening.
    pub(crate) fn unpark(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Sleeps until `bytes` records are queued, the deadline passes, or somebody calls [`Self::unpark`].
    pub(crate) fn sleep(&self, bytes: usize, deadline: Option<Instant>) {
        self.wake_at.store(bytes, Ordering::SeqCst);
        // A producer that added its bytes before the store has not seen it.
        if self.bytes.load(Ordering::SeqCst) < bytes {
            match deadline {
                None => std::thread::park(),
                Some(deadline) => {
                    std::thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
                }
            }
        }
        self.wake_at.store(usize::MAX, Ordering::SeqCst);
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }

    /// Moves every waiting record to the delivery thread's backlog, oldest chunks first per shard.
    pub(crate) fn collect(&self, backlog: &mut VecDeque<Chunk>) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            if !shard.open.is_empty() {
                shard.seal();
            }
            while let Some(chunk) = shard.sealed.pop_front() {
                self.ledger
                    .held
                    .fetch_add(chunk.ends.len() as u64, Ordering::Relaxed);
                backlog.push_back(chunk);
            }
        }
    }

    /// Gives back the room of records that are delivered or discarded.
    pub(crate) fn release(&self, bytes: usize, records: usize) {
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        if self.bounds_records() {
            self.records.fetch_sub(records, Ordering::Relaxed);
        }
    }

    /// Gives chunks back to their shards, which keep some for their next records.
    pub(crate) fn recycle(&self, chunks: Vec<Chunk>) {
        for mut chunk in chunks {
            let Some(shard) = self.shards.get(chunk.shard) else {
                continue;
            };
            let mut shard = shard.lock();
            if shard.spare.len() < SPARE_CHUNKS && chunk.bytes.capacity() >= CHUNK_BYTES {
                chunk.clear();
                shard.spare.push(chunk);
            }
        }
    }

    /// Refuses every later record.
    pub(crate) fn close(&self) {
        for shard in &self.shards {
            shard.lock().closed = true;
        }
    }

    pub(crate) fn status(&self) -> Status {
        let mut status = Status {
            queued: self.ledger.held.load(Ordering::Relaxed),
            queued_bytes: self.queued_bytes(),
            capacity_bytes: self.settings.capacity_bytes,
            ..Status::default()
        };
        for shard in &self.shards {
            let shard = shard.lock();
            status.created += shard.created;
            status.queued += shard.open.ends.len() as u64;
            status.queued += shard
                .sealed
                .iter()
                .map(|chunk| chunk.ends.len() as u64)
                .sum::<u64>();
            for (total, refused) in status.discarded.iter_mut().zip(shard.refused) {
                *total += refused;
            }
        }
        for (total, reason) in status.discarded.iter_mut().zip(Discard::ALL) {
            *total += self.ledger.send_failed(reason);
        }
        self.ledger.fill(&mut status);
        status
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Queues one record and gives its buffer back; where the buffer lies.
    fn round_trip(queue: &Queue) -> *const u8 {
        queue.push(Severity::Info, |out| out.push(b'x'));
        let mut backlog = VecDeque::new();
        queue.0.collect(&mut backlog);
        let place = backlog[0].bytes.as_ptr();
        queue.0.recycle(backlog.into());
        place
    }

    #[test]
    fn each_thread_gets_its_buffers_back() {
        for _ in 0..8 {
            let reused = thread::spawn(|| {
                let queue = Queue::new("test", QueueSettings::default());
                let places = [(); 4].map(|()| round_trip(&queue));
                (places[0] == places[2], places[1] == places[3])
            });

            assert_eq!(reused.join().unwrap(), (true, true));
        }
    }
}
