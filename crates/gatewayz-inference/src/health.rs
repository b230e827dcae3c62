//! How a provider has done in the last minute, seen from real traffic and from free probes.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const SLICES: usize = 12;
const SLICE: Duration = Duration::from_secs(5);

const UNKNOWN: u8 = 0;
const GOOD: u8 = 1;
const BAD: u8 = 2;

/// Results of the last minute, in slices of five seconds, and the last probe. Time is given by the caller.
#[derive(Debug)]
pub(crate) struct Health {
    started: Instant,
    slices: Mutex<[Slice; SLICES]>,
    probe: AtomicU8,
}

#[derive(Debug, Default, Clone, Copy)]
struct Slice {
    /// Number of the slice since the start.
    number: u64,
    all: u64,
    failed: u64,
}

impl Health {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            started: now,
            slices: Mutex::default(),
            probe: AtomicU8::new(UNKNOWN),
        }
    }

    /// Counts one attempt.
    pub(crate) fn record(&self, succeeded: bool, now: Instant) {
        let number = self.number(now);
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        let place = usize::try_from(number).unwrap_or_default() % SLICES;
        let Some(slice) = slices.get_mut(place) else {
            return;
        };
        if slice.number != number {
            *slice = Slice {
                number,
                ..Slice::default()
            };
        }
        slice.all += 1;
        slice.failed += u64::from(!succeeded);
    }

    /// Share of failed attempts in the last minute; 0 without any.
    pub(crate) fn error_rate(&self, now: Instant) -> f64 {
        let newest = self.number(now);
        let slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = slices
            .iter()
            .filter(|slice| slice.number + SLICES as u64 > newest);
        let (all, failed) = recent.fold((0, 0), |(all, failed), slice| {
            (all + slice.all, failed + slice.failed)
        });
        if all == 0 { 0.0 } else { failed as f64 / all as f64 }
    }

    /// Takes the result of a probe.
    pub(crate) fn probed(&self, is_good: bool) {
        self.probe
            .store(if is_good { GOOD } else { BAD }, Ordering::Relaxed);
    }

    /// Whether the last probe went well; `None` before the first.
    pub(crate) fn last_probe(&self) -> Option<bool> {
        match self.probe.load(Ordering::Relaxed) {
            GOOD => Some(true),
            BAD => Some(false),
            _ => None,
        }
    }

    fn number(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_secs() / SLICE.as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_rate_fades_without_traffic() {
        let start = Instant::now();
        let health = Health::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(health.error_rate(at(0)), 0.0);

        for succeeded in [true, true, true, false] {
            health.record(succeeded, at(1));
        }
        health.record(false, at(30));

        assert_eq!(health.error_rate(at(30)), 0.4);
        assert_eq!(health.error_rate(at(59)), 0.4);
        assert_eq!(health.error_rate(at(61)), 1.0, "the first slice has gone");
        assert_eq!(health.error_rate(at(91)), 0.0);
        health.record(true, at(3_600));
        assert_eq!(health.error_rate(at(3_600)), 0.0);
    }

    #[test]
    fn the_last_probe_counts() {
        let health = Health::new(Instant::now());
        assert_eq!(health.last_probe(), None);

        health.probed(false);
        assert_eq!(health.last_probe(), Some(false));
        health.probed(true);
        assert_eq!(health.last_probe(), Some(true));
    }
}
