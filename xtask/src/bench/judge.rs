//! What is said of a measured figure: the goal, what must hold, above it, or too noisy to say.

use super::limits::Figure;

/// Values that are farther apart than this share of their median say nothing about a limit that lies among them.
const SPREAD_MAX: f64 = 0.15;

/// One figure of one run.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) figure: &'static Figure,
    /// One value a round.
    pub(crate) values: Vec<f64>,
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
    pub(crate) fn new(figure: &'static Figure, values: Vec<f64>) -> Self {
        Self { figure, values }
    }

    /// A figure that one value says.
    pub(crate) fn once(figure: &'static Figure, value: f64) -> Self {
        Self::new(figure, vec![value])
    }

    /// The middle value.
    pub(crate) fn median(&self) -> f64 {
        median_and_spread(self.values.clone()).0
    }

    /// How far the extremes are apart, as a share of the median; `None` with one value.
    pub(crate) fn spread(&self) -> Option<f64> {
        (self.values.len() > 1).then(|| median_and_spread(self.values.clone()).1)
    }

    /// What the values say on a quiet machine.
    pub(crate) fn verdict(&self) -> Verdict {
        let Some(bound) = self.figure.must.or(self.figure.goal) else {
            return Verdict::Shown;
        };
        let holding = self.values.iter().filter(|value| bound.holds(**value)).count();
        // Noise leaves open on which side of the limit they are only when they are on both.
        let is_clear = holding == 0 || holding == self.values.len();
        if self.figure.timed && !is_clear && self.spread().is_some_and(|spread| spread.abs() > SPREAD_MAX) {
            return Verdict::TooNoisy;
        }
        judge(self.figure, self.median())
    }
}

/// What a value says, when noise is no question.
pub(crate) fn judge(figure: &Figure, value: f64) -> Verdict {
    match (figure.must, figure.goal) {
        (None, None) => Verdict::Shown,
        (_, Some(goal)) if goal.holds(value) => Verdict::Goal,
        (None, Some(_)) => Verdict::NotMet,
        (Some(must), _) if must.holds(value) => Verdict::Must,
        (Some(_), _) => Verdict::Above,
    }
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

/// The middle value, and how far the extremes are apart as a share of it.
pub(crate) fn median_and_spread(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let median = values.get(values.len() / 2).copied().unwrap_or(f64::NAN);
    let (least, most) = (values.first(), values.last());
    let range = most.zip(least).map_or(f64::NAN, |(most, least)| most - least);
    (median, range / median)
}

#[cfg(test)]
mod tests {
    use super::super::limits::{CALL_JSON, CPU, FAULT_LOKI, INSTRUCTIONS, THROUGHPUT};
    use super::{Measured, Verdict, median_and_spread};

    #[test]
    fn the_spread_is_the_distance_of_the_extremes_in_medians() {
        let (median, spread) = median_and_spread(vec![1.2, 0.9, 1.0]);

        assert!((median - 1.0).abs() < 1e-9);
        assert!((spread - 0.3).abs() < 1e-9);
    }

    #[test]
    fn noise_excuses_only_what_may_be_within_the_limit() {
        for (values, expected) in [
            (vec![1.9, 2.4, 2.9], Verdict::Above),
            (vec![1.3, 1.6, 1.9], Verdict::TooNoisy),
            (vec![1.45, 1.55, 1.6], Verdict::Above),
            (vec![0.9, 1.2, 1.4], Verdict::Must),
        ] {
            assert_eq!(
                Measured::new(&CALL_JSON, values.clone()).verdict(),
                expected,
                "{values:?}"
            );
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
            assert_eq!(
                Measured::once(figure, value).verdict(),
                expected,
                "{}",
                figure.key
            );
        }
    }
}
