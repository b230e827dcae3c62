//! Memory that calls share: each part is bounded by itself, and their sum here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// What every part may have without asking for room, so that long ones cannot keep ordinary calls away. Connections
/// bound the sum of these.
const FREE_BYTES: usize = 64 * 1024;

/// Bytes that may still be taken.
#[derive(Debug)]
pub struct Room(AtomicUsize);

/// One part; given back when it is dropped.
#[derive(Debug)]
pub struct Taken {
    room: Arc<Room>,
    copies: usize,
    bytes: usize,
}

impl Room {
    /// Room for so many bytes.
    #[must_use]
    pub fn of(bytes: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(bytes)))
    }

    /// Nothing yet, for what is in memory `copies` times.
    #[must_use]
    pub fn enter(self: &Arc<Self>, copies: usize) -> Taken {
        Taken {
            room: Arc::clone(self),
            copies,
            bytes: 0,
        }
    }
}

impl Taken {
    /// Takes what something of `length` bytes needs; `false` when there is no room.
    #[must_use]
    pub fn grow(&mut self, length: usize) -> bool {
        let counted = length.saturating_sub(FREE_BYTES).saturating_mul(self.copies);
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

    /// The same bytes, which give back what they take when the last clone of them is dropped.
    pub(crate) fn hold(self, bytes: Bytes) -> Bytes {
        if self.bytes == 0 {
            return bytes;
        }
        Bytes::from_owner(Held { bytes, _taken: self })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.0.fetch_add(self.bytes, Ordering::AcqRel);
    }
}

struct Held {
    bytes: Bytes,
    _taken: Taken,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
