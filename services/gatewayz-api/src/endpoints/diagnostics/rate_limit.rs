//! A limit on how often something may be done in a span of time.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets through so many calls within any window.
#[derive(Debug)]
pub(super) struct RateLimit {
    calls_max: usize,
    window: Duration,
    recent: Mutex<VecDeque<Instant>>,
}

impl RateLimit {
    pub(super) const fn new(calls_max: usize, window: Duration) -> Self {
        Self {
            calls_max,
            window,
            recent: Mutex::new(VecDeque::new()),
        }
    }

    /// Counts a call at `now`.
    ///
    /// # Errors
    /// How long to wait when there were too many; such a call does not count.
    pub(super) fn admit(&self, now: Instant) -> Result<(), Duration> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |call: &Instant| now.saturating_duration_since(*call);
        while recent.front().is_some_and(|call| age(call) >= self.window) {
            recent.pop_front();
        }
        match recent.front() {
            Some(oldest) if recent.len() >= self.calls_max => Err(self.window.saturating_sub(age(oldest))),
            Some(_) | None => {
                recent.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_beyond_the_limit_are_told_when_to_come_back() {
        let limit = RateLimit::new(2, Duration::from_secs(60));
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);

        let calls = [0, 20, 30, 59, 60, 61, 80].map(|seconds| limit.admit(after(seconds)));

        let wait = |seconds| Err(Duration::from_secs(seconds));
        assert_eq!(
            calls,
            [Ok(()), Ok(()), wait(30), wait(1), Ok(()), wait(19), Ok(())]
        );
    }
}
