//! Readings of the monotonic clock, and the wall-clock time they stand for.
//!
//! `std::time::Instant` keeps seconds and nanoseconds apart, and each difference of two costs 37 instructions
//! (callgrind); a request takes three, and each span inside it two more.

use std::cell::Cell;
use std::ops::Add;
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// A step of the system's clock shows after this long.
const RESYNC_NANOS: u64 = NANOS_PER_SECOND.unsigned_abs();

/// A moment on the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    nanos: u64,
}

impl Moment {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        Self {
            nanos: nanos(clock_gettime(ClockId::Monotonic)),
        }
    }

    /// Nanoseconds from `earlier` to this moment; 0 when `earlier` is the later one.
    #[must_use]
    pub fn nanos_since(self, earlier: Self) -> u64 {
        self.nanos.saturating_sub(earlier.nanos)
    }

    /// Nanoseconds from the Unix epoch to this moment; 0 for a clock before it.
    ///
    /// The wall clock is read once a second and thread, so a step of it shows within a second.
    #[must_use]
    pub fn unix_nanos(self) -> u64 {
        thread_local!(static SYNCED: Cell<Option<Synced>> = const { Cell::new(None) });
        let kept = SYNCED.get();
        match kept.map(|kept| (kept, self.distance(kept.at))) {
            Some((kept, distance)) if distance.unsigned_abs() < RESYNC_NANOS => {
                kept.unix_nanos.saturating_add_signed(distance)
            }
            Some(_) | None => {
                let synced = Synced::now();
                SYNCED.set(Some(synced));
                synced.unix_nanos.saturating_add_signed(self.distance(synced.at))
            }
        }
    }

    /// Nanoseconds from `other` to this moment, below 0 when `other` is the later one.
    fn distance(self, other: Self) -> i64 {
        self.nanos.wrapping_sub(other.nanos).cast_signed()
    }
}

/// Both clocks, read together.
#[derive(Clone, Copy)]
struct Synced {
    at: Moment,
    unix_nanos: u64,
}

impl Synced {
    fn now() -> Self {
        Self {
            at: Moment::now(),
            unix_nanos: nanos(clock_gettime(ClockId::Realtime)),
        }
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self {
            nanos: self.nanos.saturating_add(nanos),
        }
    }
}

/// A reading as one number, up to the year 2262; 0 for one before its clock's zero.
fn nanos(reading: Timespec) -> u64 {
    let nanos = reading
        .tv_sec
        .wrapping_mul(NANOS_PER_SECOND)
        .wrapping_add(reading.tv_nsec);
    nanos.max(0).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_moment_stands_for_the_time_on_the_wall() {
        let system = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        // The clock may be slewed between the reading that is kept and this one.
        let slack = 1_000_000;

        let before = system();
        let moments = [Moment::now().unix_nanos(), Moment::now().unix_nanos()].map(u128::from);
        let after = system();

        for moment in moments {
            assert!((before - slack..=after + slack).contains(&moment), "{moment}");
        }
    }

    #[test]
    fn what_is_later_is_so_many_nanoseconds_later() {
        let now = Moment::now();
        let later = now + Duration::from_micros(1_500);

        assert_eq!((later.nanos_since(now), now.nanos_since(later)), (1_500_000, 0));
        assert!(Moment::now() >= now);
    }

    #[test]
    fn a_moment_that_is_not_the_present_one_stands_for_its_own_time() {
        let now = Moment::now();
        let later = now + Duration::from_secs(5);

        let apart = [
            later.unix_nanos() - now.unix_nanos(),
            later.unix_nanos() - now.unix_nanos(),
        ];

        assert!(
            apart
                .iter()
                .all(|apart| apart.abs_diff(5_000_000_000) < 1_000_000),
            "{apart:?}"
        );
    }
}
