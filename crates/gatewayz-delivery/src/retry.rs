//! When to try again: full-jitter exponential backoff inside a window.

use std::time::Duration;

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
    /// After this time since the first attempt the batch is given up; a pause that the destination has asked for before
    /// is waited for, and followed by an attempt.
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
    /// How long a destination that has failed `failed` times is left alone.
    pub(crate) fn pause(&self, failed: u32, asked: Option<Duration>, random: &mut impl Rng) -> Duration {
        let doublings = failed.saturating_sub(1).min(16);
        let ceiling = self
            .backoff_min
            .saturating_mul(1 << doublings)
            .min(self.backoff_max);
        let jittered = self.backoff_min.max(ceiling.mul_f64(random.random::<f64>()));
        jittered.max(asked.unwrap_or_default().min(self.retry_after_max))
    }

    /// Whether a batch is given up that has failed so often, instead of another attempt after `pause`.
    ///
    /// A destination that asks for a pause gets an attempt after it, even where it ends outside of the window: it would
    /// lose every batch if it always asked for that long.
    pub(crate) fn gives_up(&self, failed: u32, elapsed: Duration, pause: Duration, asked: bool) -> bool {
        let is_late = if asked {
            elapsed >= self.max_elapsed
        } else {
            elapsed + pause > self.max_elapsed
        };
        failed >= self.max_attempts || is_late
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
            let policy = RetryPolicy::default();
            let asked = asked.map(Duration::from_secs);

            let pause = policy.pause(failed, asked, &mut SmallRng::seed_from_u64(seed));

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
        let second = Duration::from_secs(1);

        let gives_up = |failed, elapsed, asked| policy.gives_up(failed, elapsed, second, asked);

        assert!(!gives_up(4, 2 * second, false) && !gives_up(4, 2 * second, true));
        assert!(gives_up(1, 3 * second, false) && gives_up(1, 3 * second, true));
        assert!(gives_up(5, Duration::ZERO, false));
    }

    #[test]
    fn a_pause_that_is_asked_for_may_end_outside_of_the_window() {
        let policy = RetryPolicy {
            max_elapsed: Duration::from_secs(60),
            ..RetryPolicy::default()
        };
        let minute = Duration::from_secs(60);

        assert!(!policy.gives_up(1, Duration::from_secs(1), minute, true));
        assert!(policy.gives_up(2, minute + minute, minute, true));
    }
}
