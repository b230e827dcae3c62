//! Every way an admin call can end, and the exact counts of them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::DisabledReason;

/// How the guard decided about one call to an admin route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    Accepted,
    MissingKey,
    Malformed,
    WrongKey,
    TooLong,
    Throttled,
    NotConfigured,
    PublishedKey,
}

impl Attempt {
    const ALL: [Self; 8] = [
        Self::Accepted,
        Self::MissingKey,
        Self::Malformed,
        Self::WrongKey,
        Self::TooLong,
        Self::Throttled,
        Self::NotConfigured,
        Self::PublishedKey,
    ];

    pub(crate) fn disabled(reason: DisabledReason) -> Self {
        match reason {
            DisabledReason::NotConfigured => Self::NotConfigured,
            DisabledReason::PublishedKey => Self::PublishedKey,
        }
    }

    pub(crate) fn outcome(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::MissingKey | Self::Malformed | Self::WrongKey | Self::TooLong => "refused",
            Self::Throttled => "throttled",
            Self::NotConfigured | Self::PublishedKey => "disabled",
        }
    }

    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Accepted => "valid_key",
            Self::MissingKey => "missing_key",
            Self::Malformed => "malformed",
            Self::WrongKey | Self::Throttled => "wrong_key",
            Self::TooLong => "too_long",
            Self::NotConfigured => "not_configured",
            Self::PublishedKey => "published_key",
        }
    }
}

/// Counts of admin calls since the guard was built. Updating them takes no lock.
#[derive(Debug, Default)]
pub struct AuthStats {
    attempts: [AtomicU64; Attempt::ALL.len()],
    suppressed: AtomicU64,
}

/// Admin calls that ended in one way: one sample of `admin_auth_attempts_total{outcome,reason}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptCount {
    /// `accepted`, `refused`, `throttled` or `disabled`.
    pub outcome: &'static str,
    /// `valid_key`, `missing_key`, `malformed`, `wrong_key`, `too_long`, `not_configured` or
    /// `published_key`.
    pub reason: &'static str,
    /// Calls so far; only ever grows.
    pub count: u64,
}

impl AuthStats {
    /// All pairs of outcome and reason that can occur, each once, from 0 on, always in the same order.
    pub fn snapshot(&self) -> Vec<AttemptCount> {
        Attempt::ALL
            .iter()
            .zip(&self.attempts)
            .map(|(attempt, count)| AttemptCount {
                outcome: attempt.outcome(),
                reason: attempt.reason(),
                count: count.load(Ordering::Relaxed),
            })
            .collect()
    }

    /// Calls that have no audit line of their own: attempts = audit lines + this.
    pub fn audit_lines_suppressed(&self) -> u64 {
        self.suppressed.load(Ordering::Relaxed)
    }

    pub(crate) fn record(&self, attempt: Attempt) {
        if let Some(count) = self.attempts.get(attempt as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn record_suppressed(&self) {
        self.suppressed.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_pair_of_outcome_and_reason_starts_at_zero_and_is_counted_alone() {
        for (index, attempt) in Attempt::ALL.into_iter().enumerate() {
            let stats = AuthStats::default();

            stats.record(attempt);

            let counts = stats.snapshot();
            assert_eq!(counts[index].count, 1);
            assert_eq!(counts.iter().map(|pair| pair.count).sum::<u64>(), 1);
            assert_eq!(
                (counts[index].outcome, counts[index].reason),
                (attempt.outcome(), attempt.reason())
            );
        }
    }

    #[test]
    fn no_pair_of_outcome_and_reason_occurs_twice() {
        let counts = AuthStats::default().snapshot();

        let pairs: HashSet<_> = counts.iter().map(|pair| (pair.outcome, pair.reason)).collect();

        assert_eq!(pairs.len(), counts.len());
    }
}
