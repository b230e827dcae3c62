//! Timestamps that never repeat and never go back within the process.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Loki refuses lines further in the future than this (`creation_grace_period`).
const FUTURE_MAX_NANOS: u64 = 600_000_000_000;

/// Loki reads a time as a signed number, and loses the whole push that has a larger one.
const TIME_MAX_NANOS: u64 = i64::MAX as u64;

/// The first time not before `unix_nanos` that no other record has.
///
/// Fixed when a record is written, so that every attempt to push it carries the same bytes.
pub(crate) fn fix(unix_nanos: u64) -> u64 {
    static CLOCK: LazyLock<(Clock, Instant)> = LazyLock::new(|| {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        (
            Clock::starting_at(nanos(since_epoch.unwrap_or_default())),
            Instant::now(),
        )
    });
    let (clock, started) = &*CLOCK;
    clock.fix(unix_nanos, || nanos(started.elapsed()))
}

struct Clock {
    start: u64,
    last: AtomicU64,
}

impl Clock {
    fn starting_at(unix_nanos: u64) -> Self {
        Self {
            start: unix_nanos,
            last: AtomicU64::new(0),
        }
    }

    fn fix(&self, unix_nanos: u64, elapsed: impl Fn() -> u64) -> u64 {
        let mut last = self.last.load(Relaxed);
        loop {
            let fixed = if unix_nanos > last {
                unix_nanos
            } else if last - unix_nanos <= FUTURE_MAX_NANOS {
                last + 1
            } else {
                self.after_a_step(unix_nanos, last, elapsed())
            };
            let fixed = fixed.min(TIME_MAX_NANOS);
            match self.last.compare_exchange_weak(last, fixed, Relaxed, Relaxed) {
                Ok(_) => return fixed,
                Err(seen) => last = seen,
            }
        }
    }

    /// The clock is far behind the last record's time; the time since the start tells which of them is off.
    fn after_a_step(&self, unix_nanos: u64, last: u64, elapsed: u64) -> u64 {
        let expected = self.start.saturating_add(elapsed);
        let believable = expected.saturating_add(FUTURE_MAX_NANOS);
        if last > believable && unix_nanos <= believable {
            // Loki has refused what was stamped out there, so going back breaks no order.
            return unix_nanos;
        }
        expected.max(last + 1)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_766_000_000_000_000_000;
    const DAY: u64 = 86_400_000_000_000;

    #[track_caller]
    fn check(readings: &[(u64, u64)], expected: &[u64]) {
        let clock = Clock::starting_at(START);
        let fixed: Vec<u64> = readings
            .iter()
            .map(|(unix_nanos, elapsed)| clock.fix(*unix_nanos, || *elapsed))
            .collect();
        assert_eq!(fixed, expected);
    }

    #[test]
    fn equal_and_slightly_older_times_become_later_ones() {
        check(
            &[(START, 0), (START, 0), (START - 5, 0), (START + 9, 0)],
            &[START, START + 1, START + 2, START + 9],
        );
    }

    #[test]
    fn a_clock_set_back_by_days_goes_on_with_the_time_since_the_start() {
        check(
            &[
                (START + 100, 100),
                (START - 3 * DAY + 200, 200),
                (START - 3 * DAY + 200, 200),
                (START - 3 * DAY + 300, 300),
            ],
            &[START + 100, START + 200, START + 201, START + 300],
        );
    }

    #[test]
    fn a_clock_that_was_ahead_by_days_does_not_stamp_later_records() {
        check(
            &[
                (START + 100, 100),
                (START + 10 * DAY, 200),
                (START + 300, 300),
                (START + 300, 300),
            ],
            &[START + 100, START + 10 * DAY, START + 300, START + 301],
        );
    }

    #[test]
    fn a_time_out_of_range_is_the_largest_that_loki_reads() {
        check(
            &[(u64::MAX, 0), (u64::MAX, 0), (START, 0)],
            &[TIME_MAX_NANOS, TIME_MAX_NANOS, START],
        );
    }

    #[test]
    fn threads_never_share_a_time() {
        let mut all: Vec<u64> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..10_000).map(|_| fix(START)).collect::<Vec<_>>()))
                .collect();
            workers
                .into_iter()
                .flat_map(|worker| worker.join().unwrap())
                .collect()
        });

        all.sort_unstable();
        all.dedup();

        assert_eq!(all.len(), 40_000);
    }
}
