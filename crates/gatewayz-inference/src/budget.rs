//! How many repeated attempts the gateway allows itself: a share of its recent calls.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Of a hundred recent calls, this many may be tried again.
const PERCENT: u64 = 20;
/// Repeats a second that are always allowed.
const MIN_PER_SECOND: u64 = 3;
const WINDOW_SECONDS: u64 = 10;
const WINDOW: usize = WINDOW_SECONDS as usize;

/// Counts calls and repeats of the last ten seconds. Time is given by the caller.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    started: Instant,
    seconds: Mutex<[Second; WINDOW]>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Second {
    number: u64,
    calls: u64,
    repeats: u64,
}

impl RetryBudget {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            started: now,
            seconds: Mutex::default(),
        }
    }

    /// Counts a call.
    pub(crate) fn call(&self, now: Instant) {
        self.change(now, |second, _, _| second.calls += 1);
    }

    /// Takes leave for one repeat; `false` when the budget is spent.
    pub(crate) fn take(&self, now: Instant) -> bool {
        self.change(now, |second, calls, repeats| {
            let share = calls * PERCENT / 100;
            let allowed = share > repeats || second.repeats < MIN_PER_SECOND;
            second.repeats += u64::from(allowed);
            allowed
        })
    }

    /// Changes the present second, given the calls and repeats of the window.
    fn change<T: Default>(&self, now: Instant, change: impl FnOnce(&mut Second, u64, u64) -> T) -> T {
        let number = now.saturating_duration_since(self.started).as_secs();
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = seconds
            .iter()
            .filter(|second| second.number + WINDOW_SECONDS > number);
        let (calls, repeats) = recent.fold((0, 0), |(calls, repeats), second| {
            (calls + second.calls, repeats + second.repeats)
        });
        let place = usize::try_from(number % WINDOW_SECONDS).unwrap_or_default();
        let Some(second) = seconds.get_mut(place) else {
            return T::default();
        };
        if second.number != number {
            *second = Second {
                number,
                ..Second::default()
            };
        }
        change(second, calls, repeats)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_fifth_of_the_calls_may_be_repeated() {
        let start = Instant::now();
        let budget = RetryBudget::new(start);
        for _ in 0..1_000 {
            budget.call(start);
        }

        let taken = (0..1_000).filter(|_| budget.take(start)).count();

        assert_eq!(taken, 200);
    }

    #[test]
    fn three_a_second_are_always_allowed() {
        let start = Instant::now();
        let budget = RetryBudget::new(start);

        let taken: Vec<_> = (0..3)
            .map(|second| {
                (0..10)
                    .filter(|_| budget.take(start + Duration::from_secs(second)))
                    .count()
            })
            .collect();

        assert_eq!(taken, [3, 3, 3]);
    }

    #[test]
    fn old_calls_give_no_leave() {
        let start = Instant::now();
        let budget = RetryBudget::new(start);
        for _ in 0..1_000 {
            budget.call(start);
        }

        let later = start + Duration::from_secs(10);

        assert_eq!((0..1_000).filter(|_| budget.take(later)).count(), 3);
    }
}
