//! Open spans by their id, in shards that threads mostly have to themselves.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;
use parking_lot::{Mutex, MutexGuard};
use slab::Slab;
use tracing::span::Id;

use super::OpenSpan;

/// A power of two, above the workers of an ordinary machine.
const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 4;
/// An id is the span's sequence number, its key in the slab, and its shard. So many spans of one shard as would reach
/// into the sequence number do not fit into memory.
const SEQUENCE_SHIFT: u32 = 32;

/// Open spans.
#[derive(Default)]
pub(super) struct Store {
    shards: [CachePadded<Mutex<Shard>>; SHARDS],
}

#[derive(Default)]
struct Shard {
    spans: Slab<Entry>,
    last_sequence: u32,
}

struct Entry {
    /// Tells the span from an earlier one of the same key, so that an id of a closed span finds nothing.
    sequence: u32,
    handles: usize,
    span: OpenSpan,
}

#[derive(Clone, Copy)]
struct Place {
    shard: usize,
    key: usize,
    sequence: u32,
}

impl Place {
    fn of(id: &Id) -> Self {
        let id = id.into_u64();
        Self {
            shard: id as usize & (SHARDS - 1),
            key: (id as u32 >> SHARD_BITS) as usize,
            sequence: (id >> SEQUENCE_SHIFT) as u32,
        }
    }

    fn id(self) -> Id {
        let key = (self.key as u64) << SHARD_BITS;
        Id::from_u64(u64::from(self.sequence) << SEQUENCE_SHIFT | key | self.shard as u64)
    }
}

impl Store {
    /// Keeps a span with one handle to it.
    pub(super) fn insert(&self, span: OpenSpan) -> Id {
        let shard = own_shard();
        let mut spans = self.lock(shard);
        // Ids may not be 0.
        let sequence = spans.last_sequence.checked_add(1).unwrap_or(1);
        spans.last_sequence = sequence;
        let key = spans.spans.insert(Entry {
            sequence,
            handles: 1,
            span,
        });
        Place { shard, key, sequence }.id()
    }

    /// Looks at a span; `None` when it is closed.
    pub(super) fn with<T>(&self, id: &Id, look: impl FnOnce(&mut OpenSpan) -> T) -> Option<T> {
        let place = Place::of(id);
        self.lock(place.shard)
            .entry(place)
            .map(|entry| look(&mut entry.span))
    }

    /// Looks at a span and holds it open until the next [`Self::release`]; `None` when it is closed.
    pub(super) fn hold<T>(&self, id: &Id, look: impl FnOnce(&OpenSpan) -> T) -> Option<T> {
        let place = Place::of(id);
        self.lock(place.shard).entry(place).map(|entry| {
            entry.handles += 1;
            look(&entry.span)
        })
    }

    /// Gives up one handle; the span, when it was the last.
    pub(super) fn release(&self, id: &Id) -> Option<OpenSpan> {
        let place = Place::of(id);
        let mut shard = self.lock(place.shard);
        let entry = shard.entry(place)?;
        entry.handles -= 1;
        (entry.handles == 0).then(|| shard.spans.remove(place.key).span)
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        self.shards[shard & (SHARDS - 1)].lock()
    }
}

impl Shard {
    fn entry(&mut self, place: Place) -> Option<&mut Entry> {
        let entry = self.spans.get_mut(place.key)?;
        (entry.sequence == place.sequence).then_some(entry)
    }
}

/// The shard of this thread, given out in turn.
fn own_shard() -> usize {
    thread_local!(static OWN: Cell<usize> = const { Cell::new(usize::MAX) });
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let own = OWN.get();
    if own != usize::MAX {
        return own;
    }
    let own = NEXT.fetch_add(1, Ordering::Relaxed) & (SHARDS - 1);
    OWN.set(own);
    own
}
