//! Room for long bodies of calls, shared by all workers: each is bounded by itself, and their sum here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What every body may have without asking for room, so that long ones cannot keep ordinary calls away. Connections
/// bound the sum of these.
const FREE_BYTES: usize = 64 * 1024;
/// A body may be in memory as it came and as it goes to its provider, at once.
pub const COPIES: usize = 2;

/// Bytes that the bodies of all calls may still take.
#[derive(Debug)]
pub struct BodyRoom(AtomicUsize);

/// The part of one body; given back when it is dropped.
#[derive(Debug)]
pub struct Taken {
    room: Arc<BodyRoom>,
    bytes: usize,
}

impl BodyRoom {
    /// Room for so many bytes.
    #[must_use]
    pub fn of(bytes: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(bytes)))
    }

    /// Nothing yet.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Taken {
        Taken {
            room: Arc::clone(self),
            bytes: 0,
        }
    }
}

impl Taken {
    /// Takes what a body of `length` bytes needs; `false` when there is no room.
    #[must_use]
    pub fn grow(&mut self, length: usize) -> bool {
        let counted = length.saturating_sub(FREE_BYTES).saturating_mul(COPIES);
        let more = counted.saturating_sub(self.bytes);
        if more == 0 {
            return true;
        }
        let take = |free: usize| free.checked_sub(more);
        let taken = self
            .room
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
            .is_ok();
        if taken {
            self.bytes += more;
        }
        taken
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.0.fetch_add(self.bytes, Ordering::AcqRel);
    }
}
