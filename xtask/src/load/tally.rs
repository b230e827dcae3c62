//! Counts of what became of requests.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Answered(u16),
    /// A stream of status 200 that ended before its end.
    CutStream,
    TooSlow,
    NoAnswer,
    /// Too many answers were awaited when it was due.
    NotSent,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: Mutex<BTreeMap<Outcome, u64>>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(status) => status.fmt(formatter),
            Self::CutStream => formatter.pad("cut streams"),
            Self::TooSlow => formatter.pad("too slow"),
            Self::NoAnswer => formatter.pad("no answer"),
            Self::NotSent => formatter.pad("not sent"),
        }
    }
}

impl Tally {
    pub(super) fn add(&self, outcome: Outcome) {
        *self.counts().entry(outcome).or_default() += 1;
    }

    /// Rate and counts, for a progress bar.
    pub(super) fn line(&self, elapsed: Duration) -> String {
        let counts = self.counts();
        let parts: Vec<String> = counts
            .iter()
            .map(|(outcome, count)| format!("{outcome}: {count}"))
            .collect();
        format!("{:.1}/s  {}", rate(&counts, elapsed), parts.join("  "))
    }

    /// The same at the end, a line for each.
    pub(super) fn summary(&self, elapsed: Duration) -> String {
        let counts = self.counts();
        let total: u64 = counts.values().sum();
        let head = format!(
            "{total} requests in {:.1} s, {:.1} answers a second\n",
            elapsed.as_secs_f64(),
            rate(&counts, elapsed)
        );
        let lines = counts
            .iter()
            .map(|(outcome, count)| format!("{outcome:>12}  {count}\n"));
        std::iter::once(head).chain(lines).collect()
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, BTreeMap<Outcome, u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rate(counts: &BTreeMap<Outcome, u64>, elapsed: Duration) -> f64 {
    let is_answer = |outcome: &Outcome| matches!(outcome, Outcome::Answered(_) | Outcome::CutStream);
    let answers: u64 = counts
        .iter()
        .filter(|(outcome, _)| is_answer(outcome))
        .map(|(_, count)| count)
        .sum();
    answers as f64 / elapsed.as_secs_f64().max(0.001)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_counts_by_status_and_rates_answers_alone() {
        let tally = Tally::default();
        for outcome in [
            Outcome::NoAnswer,
            Outcome::Answered(404),
            Outcome::Answered(200),
            Outcome::Answered(200),
            Outcome::CutStream,
        ] {
            tally.add(outcome);
        }

        assert_eq!(
            tally.summary(Duration::from_secs(2)),
            "5 requests in 2.0 s, 2.0 answers a second\n         200  2\n         404  1\n cut streams  1\n   no answer  1\n"
        );
        assert_eq!(
            tally.line(Duration::from_secs(2)),
            "2.0/s  200: 2  404: 1  cut streams: 1  no answer: 1"
        );
    }
}
