//! A limit on how many events one callsite may write, so that an error in a hot loop does not fill the queues.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use tracing::Metadata;

/// Callsites that share a slot share its allowance; a service logs from some hundred callsites at most.
const SLOTS: usize = 1 << 10;
/// Multiplier of the 64-bit FNV-1a hash.
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// Counts events by callsite and second. Requests' own lines and audit events do not pass through it.
#[derive(Debug)]
pub(crate) struct StormLimit {
    per_second: NonZeroU32,
    slots: Box<[Slot]>,
    suppressed: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    /// The second in the upper half, the events in it in the lower.
    window: AtomicU64,
    /// Events of earlier seconds that no line has told of yet.
    untold: AtomicU32,
}

/// What becomes of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// It is written; `suppressed` events of its callsite went untold before it.
    Written { suppressed: u32 },
    /// It is counted and left out.
    Suppressed,
}

/// Tells the callsites of `tracing`'s macros apart: each has metadata of its own.
pub(crate) fn callsite(metadata: &'static Metadata<'static>) -> u64 {
    std::ptr::from_ref(metadata).addr() as u64
}

/// Tells the callsites of the `log` crate apart, which share metadata for each level.
pub(crate) fn log_callsite(metadata: &Metadata<'_>) -> u64 {
    let place = u64::from(metadata.line().unwrap_or_default());
    metadata.target().bytes().fold(place, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
    })
}

impl StormLimit {
    pub(crate) fn new(per_second: NonZeroU32) -> Self {
        Self {
            per_second,
            slots: (0..SLOTS).map(|_| Slot::default()).collect(),
            suppressed: AtomicU64::new(0),
        }
    }

    /// Events left out so far.
    pub(crate) fn suppressed(&self) -> u64 {
        self.suppressed.load(Relaxed)
    }

    pub(crate) fn pass(&self, callsite: u64, unix_nanos: u64) -> Pass {
        self.pass_at(callsite, unix_nanos / 1_000_000_000)
    }

    fn pass_at(&self, callsite: u64, second: u64) -> Pass {
        let slot = &self.slots[hash(callsite)];
        // Half of the word is enough for the second until the year 2106.
        let fresh = second << 32;
        let counted = slot.window.fetch_update(Relaxed, Relaxed, |window| {
            Some(if window >> 32 == second {
                window + 1
            } else {
                fresh | 1
            })
        });
        let before = counted.unwrap_or_default();
        let count = if before >> 32 == second { before as u32 } else { 0 };
        if count >= self.per_second.get() {
            slot.untold.fetch_add(1, Relaxed);
            self.suppressed.fetch_add(1, Relaxed);
            return Pass::Suppressed;
        }
        let suppressed = if slot.untold.load(Relaxed) > 0 {
            slot.untold.swap(0, Relaxed)
        } else {
            0
        };
        Pass::Written { suppressed }
    }
}

fn hash(callsite: u64) -> usize {
    // Fibonacci hashing: the upper bits of the product depend on every bit; as many are kept as slots need.
    (callsite.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callsite_writes_up_to_its_limit_each_second_and_tells_what_it_left_out() {
        let limit = StormLimit::new(NonZeroU32::new(2).unwrap());
        let told = |suppressed| Pass::Written { suppressed };

        let first: Vec<Pass> = (0..5).map(|_| limit.pass_at(1, 100)).collect();
        let next = [limit.pass_at(1, 101), limit.pass_at(1, 101)];

        assert_eq!(
            first,
            [
                told(0),
                told(0),
                Pass::Suppressed,
                Pass::Suppressed,
                Pass::Suppressed
            ]
        );
        assert_eq!(next, [told(3), told(0)]);
        assert_eq!(limit.suppressed(), 3);
    }

    #[test]
    fn a_loud_callsite_takes_nothing_from_the_others() {
        let limit = StormLimit::new(NonZeroU32::MIN);
        let others: Vec<u64> = (1..50)
            .map(|n| n * 0x40)
            .filter(|other| hash(*other) != hash(0))
            .collect();

        for _ in 0..100 {
            limit.pass_at(0, 7);
        }

        assert!(others.len() > 40);
        for (n, other) in others.iter().enumerate() {
            assert_eq!(
                limit.pass_at(*other, 8 + n as u64),
                Pass::Written { suppressed: 0 }
            );
        }
    }
}
