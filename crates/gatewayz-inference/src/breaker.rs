//! Keeps calls away from what keeps failing, and lets one through now and then to see.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row that open it.
const FAILURES_IN_A_ROW: u32 = 5;
/// Results in the window before their share counts.
const MIN_RESULTS: u32 = 10;
/// Share of failures that opens it.
const FAILED_PERCENT: u32 = 50;
const WINDOW: Duration = Duration::from_secs(60);
const OPEN_FOR: Duration = Duration::from_secs(30);
/// Most results that are remembered of a window.
const MAX_RESULTS: usize = 1_000;

/// One breaker. Time is given by the caller.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    results: VecDeque<(Instant, bool)>,
    failed: u32,
    in_a_row: u32,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Closed,
    Open {
        until: Instant,
    },
    /// One call is on its way to see.
    Probing,
}

/// Leave for one call. Dropping it without a result gives a probe's place back.
#[derive(Debug)]
pub(crate) struct Permit {
    breaker: Arc<Breaker>,
    is_probe: bool,
    is_used: bool,
}

impl Breaker {
    /// Leave for a call, unless calls are kept away.
    pub(crate) fn permit(self: &Arc<Self>, now: Instant) -> Option<Permit> {
        let mut state = self.lock();
        let is_probe = match state.phase {
            Phase::Closed => false,
            Phase::Open { until } if now >= until => {
                state.phase = Phase::Probing;
                true
            }
            Phase::Open { .. } | Phase::Probing => return None,
        };
        drop(state);
        Some(Permit {
            breaker: Arc::clone(self),
            is_probe,
            is_used: false,
        })
    }

    /// Whether [`permit`](Self::permit) would be given.
    pub(crate) fn lets_through(&self, now: Instant) -> bool {
        match self.lock().phase {
            Phase::Closed => true,
            Phase::Open { until } => now >= until,
            Phase::Probing => false,
        }
    }

    /// How long until a call is let through; zero while it would be, or when one is on its way to see.
    pub(crate) fn opens_in(&self, now: Instant) -> Duration {
        match self.lock().phase {
            Phase::Closed | Phase::Probing => Duration::ZERO,
            Phase::Open { until } => until.saturating_duration_since(now),
        }
    }

    /// Whether it has opened, and no call has closed it since.
    #[cfg(test)]
    pub(crate) fn is_open(&self) -> bool {
        self.lock().phase != Phase::Closed
    }

    fn result(&self, succeeded: bool, is_probe: bool, now: Instant) {
        let mut state = self.lock();
        match state.phase {
            Phase::Probing if is_probe && succeeded => *state = State::default(),
            Phase::Probing if is_probe => {
                state.phase = Phase::Open {
                    until: now + OPEN_FOR,
                };
            }
            Phase::Closed => state.record(succeeded, now),
            // Calls from before it opened say nothing new.
            Phase::Open { .. } | Phase::Probing => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn record(&mut self, succeeded: bool, now: Instant) {
        while let Some((at, was_good)) = self.results.front().copied() {
            let is_old = now.saturating_duration_since(at) >= WINDOW;
            if !is_old && self.results.len() < MAX_RESULTS {
                break;
            }
            self.results.pop_front();
            self.failed -= u32::from(!was_good);
        }
        self.results.push_back((now, succeeded));
        self.failed += u32::from(!succeeded);
        self.in_a_row = if succeeded { 0 } else { self.in_a_row + 1 };

        let results = u32::try_from(self.results.len()).unwrap_or(u32::MAX);
        let is_bad = results >= MIN_RESULTS
            && self.failed.saturating_mul(100) > results.saturating_mul(FAILED_PERCENT);
        if !succeeded && (is_bad || self.in_a_row >= FAILURES_IN_A_ROW) {
            let until = now + OPEN_FOR;
            *self = Self {
                phase: Phase::Open { until },
                ..Self::default()
            };
        }
    }
}

impl Permit {
    /// The provider is there. A probe has seen enough then; other calls are judged when their answer is complete.
    pub(crate) fn begun(&mut self, now: Instant) {
        if self.is_probe {
            self.breaker.result(true, true, now);
            self.is_probe = false;
        }
    }

    /// The call got an answer that counts as one.
    pub(crate) fn succeeded(mut self, now: Instant) {
        self.is_used = true;
        self.breaker.result(true, self.is_probe, now);
    }

    /// The call failed in a way that speaks against the provider.
    pub(crate) fn failed(mut self, now: Instant) {
        self.is_used = true;
        self.breaker.result(false, self.is_probe, now);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.is_probe && !self.is_used {
            let mut state = self.breaker.lock();
            if state.phase == Phase::Probing {
                // The next call may look at once.
                state.phase = Phase::Open {
                    until: Instant::now(),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn open() -> (Arc<Breaker>, Instant) {
        let (breaker, now) = (Arc::new(Breaker::default()), Instant::now());
        for _ in 0..5 {
            breaker.permit(now).unwrap().failed(now);
        }
        (breaker, now)
    }

    #[test]
    fn failures_in_a_row_open_it() {
        let (breaker, now) = (Arc::new(Breaker::default()), Instant::now());
        for _ in 0..4 {
            breaker.permit(now).unwrap().failed(now);
        }
        assert!(!breaker.is_open());
        breaker.permit(now).unwrap().failed(now);

        assert!(breaker.is_open());
        assert!(breaker.permit(now + seconds(29)).is_none());
        assert_eq!(breaker.opens_in(now + seconds(10)), seconds(20));
    }

    #[test]
    fn a_success_ends_the_row() {
        let (breaker, now) = (Arc::new(Breaker::default()), Instant::now());
        for result in [false, false, false, false, true, false, false, false, false] {
            let permit = breaker.permit(now).unwrap();
            if result {
                permit.succeeded(now);
            } else {
                permit.failed(now);
            }
        }

        assert!(!breaker.is_open());
    }

    #[test]
    fn more_than_half_of_the_window_opens_it() {
        let (breaker, now) = (Arc::new(Breaker::default()), Instant::now());
        for index in 0..20 {
            let permit = breaker.permit(now).unwrap();
            if index % 2 == 1 {
                permit.failed(now);
            } else {
                permit.succeeded(now);
            }
        }
        assert!(!breaker.is_open());

        breaker.permit(now).unwrap().failed(now);
        assert!(breaker.is_open());
    }

    #[test]
    fn old_results_do_not_count() {
        let (breaker, now) = (Arc::new(Breaker::default()), Instant::now());
        for index in 0..40 {
            let at = now + seconds(index * 7);
            let permit = breaker.permit(at).unwrap();
            if index % 3 == 0 {
                permit.succeeded(at);
            } else {
                permit.failed(at);
            }
        }

        assert!(!breaker.is_open(), "fewer than ten results a window");
    }

    #[test]
    fn half_open_lets_one_call_through() {
        let (breaker, now) = open();
        let later = now + seconds(30);

        let probe = breaker.permit(later).unwrap();
        assert!(breaker.permit(later + seconds(100)).is_none());
        probe.failed(later);

        assert_eq!(breaker.opens_in(later), seconds(30));
        breaker
            .permit(later + seconds(30))
            .unwrap()
            .succeeded(later + seconds(30));
        assert!(!breaker.is_open());
        assert!(breaker.permit(later + seconds(30)).is_some());
    }

    #[test]
    fn a_probe_whose_answer_begins_closes_it() {
        let (breaker, now) = open();
        let later = now + seconds(30);
        let mut probe = breaker.permit(later).unwrap();

        probe.begun(later);
        assert!(!breaker.is_open());
        drop(probe);

        assert!(!breaker.is_open());
    }

    #[test]
    fn a_probe_that_nobody_waited_for_gives_its_place_back() {
        let (breaker, now) = open();
        let later = now + seconds(30);

        drop(breaker.permit(later).unwrap());

        assert!(breaker.permit(later).is_some());
    }

    #[test]
    fn calls_from_before_it_opened_change_nothing() {
        let (breaker, now) = (Arc::new(Breaker::default()), Instant::now());
        let early = breaker.permit(now).unwrap();
        for _ in 0..5 {
            breaker.permit(now).unwrap().failed(now);
        }

        early.succeeded(now);

        assert!(breaker.is_open());
    }
}
