//! What is said of a measured figure: the goal, what must hold, above it, or too noisy to say.

use super::estimate::Estimate;
use super::limits::{Bound, Figure};

/// An interval longer than this share of its middle says nothing about a limit that lies in it.
const SPREAD_MAX: f64 = 0.15;

/// One figure of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) figure: &'static Figure,
    pub(crate) estimate: Estimate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is no limit: it is there to compare.
    Shown,
    /// The goal is met.
    Goal,
    /// What must hold does.
    Must,
    /// It has a goal alone, and that is not met.
    NotMet,
    /// Above what must hold.
    Above,
    TooNoisy,
}

impl Measured {
    /// A figure from one value a round.
    pub(crate) fn new(figure: &'static Figure, values: Vec<f64>) -> Self {
        Self {
            figure,
            estimate: Estimate::of(values),
        }
    }

    /// A figure that one value says.
    pub(crate) fn once(figure: &'static Figure, value: f64) -> Self {
        Self {
            figure,
            estimate: Estimate::once(value),
        }
    }
}

/// What an estimate says of a figure on a quiet machine.
pub(crate) fn judge(figure: &Figure, estimate: &Estimate) -> Verdict {
    let holds = |bound: Bound| holds(bound, estimate, figure.timed);
    match (figure.must.map(holds), figure.goal.map(holds)) {
        (None, None) => Verdict::Shown,
        (_, Some(Some(true))) => Verdict::Goal,
        (Some(Some(true)), _) => Verdict::Must,
        (Some(Some(false)), _) => Verdict::Above,
        (None, Some(Some(false))) => Verdict::NotMet,
        (Some(None), _) | (None, Some(None)) => Verdict::TooNoisy,
    }
}

/// Whether a bound holds; `None` when the true value may be on either side, and far from it.
fn holds(bound: Bound, estimate: &Estimate, timed: bool) -> Option<bool> {
    let at_median = bound.holds(estimate.median);
    let is_clear = estimate
        .interval
        .is_none_or(|ends| ends.into_iter().all(|end| bound.holds(end) == at_median));
    (!timed || is_clear || estimate.spread() <= SPREAD_MAX).then_some(at_median)
}

impl Verdict {
    /// As it stands in the table.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Shown => "",
            Self::Goal => "goal met",
            Self::Must => "within the limit",
            Self::NotMet => "goal not met",
            Self::Above => "ABOVE THE LIMIT",
            Self::TooNoisy => "too noisy to judge",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::estimate::Estimate;
    use super::super::limits::{CALL_JSON, CPU, FAULT_LOKI, INSTRUCTIONS, THROUGHPUT};
    use super::{Verdict, judge};

    #[test]
    fn noise_excuses_only_what_may_be_within_the_limit() {
        for (values, expected) in [
            (vec![1.9, 2.4, 2.9], Verdict::Above),
            (vec![1.3, 1.6, 1.9], Verdict::TooNoisy),
            (vec![1.45, 1.55, 1.6], Verdict::Above),
            (vec![0.9, 1.2, 1.4], Verdict::Must),
        ] {
            assert_eq!(
                judge(&CALL_JSON, &Estimate::of(values.clone())),
                expected,
                "{values:?}"
            );
        }
    }

    #[test]
    fn noise_meets_no_goal() {
        for (values, expected) in [
            (vec![1.0, 1.1, 1.14], Verdict::Goal),
            (vec![1.0, 1.1, 1.24], Verdict::Must),
            (vec![1.1, 1.14, 1.16], Verdict::Goal),
        ] {
            assert_eq!(judge(&CPU, &Estimate::of(values.clone())), expected, "{values:?}");
        }
    }

    #[test]
    fn a_value_meets_its_goal_what_must_hold_or_neither() {
        for (figure, value, expected) in [
            (&CPU, 1.15, Verdict::Goal),
            (&CPU, 1.2, Verdict::Must),
            (&CPU, 1.26, Verdict::Above),
            (&THROUGHPUT, 0.8, Verdict::Goal),
            (&THROUGHPUT, 0.72, Verdict::Must),
            (&THROUGHPUT, 0.71, Verdict::Above),
            (&INSTRUCTIONS, 6_001.0, Verdict::Above),
            (&FAULT_LOKI, 3.0, Verdict::NotMet),
        ] {
            assert_eq!(judge(figure, &Estimate::once(value)), expected, "{}", figure.key);
        }
    }
}
