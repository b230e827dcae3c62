//! What repeated measurements say of the value behind them.

/// Most often, in hundredths, that the true middle may lie outside of the interval.
const DOUBT_PERCENT: f64 = 5.0;

/// The middle of what was measured, and between which values the true middle lies.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    /// The least and the highest that it may be; `None` with one measurement, which says nothing of the next.
    pub(crate) interval: Option<[f64; 2]>,
}

impl Estimate {
    /// The estimate from one value a round, in any order.
    ///
    /// The interval has 19 of 20 true middles, whatever the noise looks like: each round is as likely below the true
    /// middle as above it, so how many are below is a binomial distribution, and it says how many of the extremes may
    /// be left out (the confidence interval of the sign test). Fewer than six rounds cannot be that sure, and have
    /// all of their values between its ends.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let ranked = |rank: usize| values.get(rank).copied().unwrap_or(f64::NAN);
        let left_out = left_out(values.len());
        Self {
            median: ranked(values.len() / 2),
            interval: (values.len() > 1).then(|| {
                [
                    ranked(left_out),
                    ranked(values.len().saturating_sub(left_out + 1)),
                ]
            }),
        }
    }

    /// The estimate that one exact value is.
    pub(crate) fn once(value: f64) -> Self {
        Self {
            median: value,
            interval: None,
        }
    }

    /// How far the ends of the interval are apart, as a share of the middle; 0 with one measurement.
    pub(crate) fn spread(&self) -> f64 {
        self.interval
            .map_or(0.0, |[low, high]| ((high - low) / self.median).abs())
    }
}

/// The middle one of values in any order.
pub(crate) fn median(values: Vec<f64>) -> f64 {
    Estimate::of(values).median
}

/// How many of the lowest, and as many of the highest, lie outside of the interval.
fn left_out(rounds: usize) -> usize {
    // Of the two halves, each may be wrong half as often.
    let allowed = DOUBT_PERCENT / 200.0;
    let mut probability = 0.5_f64.powf(rounds as f64);
    let mut below = probability;
    let mut count = 0;
    while below <= allowed && count < rounds {
        probability *= (rounds - count) as f64 / (count + 1) as f64;
        count += 1;
        below += probability;
    }
    count.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::{Estimate, left_out};

    fn to(last: u32) -> Estimate {
        Estimate::of((1..=last).rev().map(f64::from).collect())
    }

    #[test]
    fn the_interval_leaves_out_as_many_extremes_as_the_table_of_the_sign_test() {
        let table = [
            (5, 0),
            (6, 0),
            (8, 0),
            (9, 1),
            (12, 2),
            (15, 3),
            (20, 5),
            (25, 7),
            (40, 13),
        ];

        for (rounds, expected) in table {
            assert_eq!(left_out(rounds), expected, "{rounds} rounds");
        }
    }

    #[test]
    fn the_middle_lies_in_the_interval() {
        assert_eq!(to(5).interval, Some([1.0, 5.0]));
        assert_eq!(to(5).median, 3.0);
        assert_eq!(to(9).interval, Some([2.0, 8.0]));
        assert_eq!(to(9).median, 5.0);
    }

    #[test]
    fn one_measurement_has_no_interval() {
        assert_eq!(Estimate::of(vec![2.0]), Estimate::once(2.0));
    }

    #[test]
    fn the_spread_is_the_length_of_the_interval_in_medians() {
        let spread = Estimate::of(vec![1.2, 0.9, 1.0]).spread();

        assert!((spread - 0.3).abs() < 1e-9);
    }
}
