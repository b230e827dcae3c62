//! When to try again: full-jitter exponential backoff inside a window.

use std::time::{Duration, Instant};

use rand::Rng;

/// Bounds of one batch's attempts.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Longest time one attempt may take.
    pub attempt_timeout: Duration,
    /// Shortest pause between two attempts.
    pub backoff_min: Duration,
    /// Longest pause the backoff grows to.
    pub backoff_max: Duration,
    /// Longest pause a destination may ask for; more is cut to this.
    pub retry_after_max: Duration,
    /// After this time since the first attempt the batch is given up.
    pub max_elapsed: Duration,
    /// After this many attempts the batch is given up.
    pub max_attempts: u32,
    /// A batch above this size is cut in half at its third failed attempt, because some destinations
    /// answer "too large" with a status that looks temporary.
    pub split_suspect_bytes: usize,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempt_timeout: Duration::from_secs(10),
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            retry_after_max: Duration::from_secs(60),
            max_elapsed: Duration::from_secs(300),
            max_attempts: 20,
            split_suspect_bytes: 256 * 1024,
        }
    }
}

impl RetryPolicy {
    /// Pause before attempt number `failed + 1`; `None` when the batch is to be given up.
    pub(crate) fn pause(
        &self,
        failed: u32,
        first_attempt: Instant,
        now: Instant,
        asked: Option<Duration>,
        random: &mut impl Rng,
    ) -> Option<Duration> {
        if failed >= self.max_attempts {
            return None;
        }
        let doublings = failed.saturating_sub(1).min(16);
        let ceiling = self
            .backoff_min
            .saturating_mul(1 << doublings)
            .min(self.backoff_max);
        let jittered = self.backoff_min.max(ceiling.mul_f64(random.random::<f64>()));
        let pause = jittered.max(asked.unwrap_or_default().min(self.retry_after_max));
        let elapsed = now.saturating_duration_since(first_attempt);
        (elapsed + pause <= self.max_elapsed).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    proptest! {
        #[test]
        fn a_pause_stays_between_its_floor_and_its_ceiling(failed in 1_u32..30, seed: u64, asked in proptest::option::of(0_u64..1_000)) {
            let policy = RetryPolicy { max_attempts: u32::MAX, max_elapsed: Duration::MAX, ..RetryPolicy::default() };
            let now = Instant::now();
            let asked = asked.map(Duration::from_secs);

            let pause = policy.pause(failed, now, now, asked, &mut SmallRng::seed_from_u64(seed)).unwrap();

            prop_assert!(pause >= policy.backoff_min);
            prop_assert!(pause >= asked.unwrap_or_default().min(policy.retry_after_max));
            prop_assert!(pause <= policy.backoff_max.max(policy.retry_after_max));
        }
    }

    #[test]
    fn a_batch_is_given_up_when_its_window_or_its_attempts_are_used() {
        let policy = RetryPolicy {
            max_elapsed: Duration::from_secs(3),
            max_attempts: 5,
            ..RetryPolicy::default()
        };
        let first = Instant::now();
        let mut random = SmallRng::seed_from_u64(1);

        let late = policy.pause(1, first, first + Duration::from_secs(3), None, &mut random);
        let often = policy.pause(5, first, first, None, &mut random);

        assert_eq!((late, often), (None, None));
    }
}
