//! Every figure that `bench` measures, with what must hold and the goal: the one place where they stand.

/// A figure, and how good it must be.
#[derive(Debug)]
pub(crate) struct Figure {
    /// Under which results are kept.
    pub(crate) key: &'static str,
    /// What is measured, for the reader of the table.
    pub(crate) what: &'static str,
    pub(crate) unit: Unit,
    /// What fails a run; `None` for a figure that is there to compare.
    pub(crate) must: Option<Bound>,
    /// What is aimed at.
    pub(crate) goal: Option<Bound>,
    /// Whether another process on the machine changes it, so that noise forbids a judgement.
    pub(crate) timed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// User-space instructions.
    Instructions,
    /// User-space instructions more than the other side has.
    MoreInstructions,
    /// A multiple of the other side.
    Times,
    /// A share of the other side.
    Of,
    Percent,
    Microseconds,
    Milliseconds,
    /// 1,048,576 bytes.
    Mebibytes,
    /// 1,000,000 bytes.
    Megabytes,
}

impl Figure {
    const fn timed(key: &'static str, what: &'static str, unit: Unit) -> Self {
        Self {
            key,
            what,
            unit,
            must: None,
            goal: None,
            timed: true,
        }
    }

    const fn counted(key: &'static str, what: &'static str, unit: Unit) -> Self {
        Self {
            timed: false,
            ..Self::timed(key, what, unit)
        }
    }

    const fn at_most(mut self, must: f64, goal: f64) -> Self {
        self.must = Some(Bound::AtMost(must));
        self.goal = Some(Bound::AtMost(goal));
        self
    }

    const fn must_at_most(mut self, must: f64) -> Self {
        self.must = Some(Bound::AtMost(must));
        self
    }

    const fn aims_at_most(mut self, goal: f64) -> Self {
        self.goal = Some(Bound::AtMost(goal));
        self
    }

    const fn at_least(mut self, must: f64, goal: f64) -> Self {
        self.must = Some(Bound::AtLeast(must));
        self.goal = Some(Bound::AtLeast(goal));
        self
    }
}

use Unit::{
    Instructions, Mebibytes, Megabytes, Microseconds, Milliseconds, MoreInstructions, Of, Percent, Times,
};

const fn timed(key: &'static str, what: &'static str, unit: Unit) -> Figure {
    Figure::timed(key, what, unit)
}

const fn counted(key: &'static str, what: &'static str, unit: Unit) -> Figure {
    Figure::counted(key, what, unit)
}

/// Declares the figures, and the sections of the table in which they stand.
macro_rules! figures {
    ($($section:literal { $($name:ident = $figure:expr;)+ })+) => {
        $($(pub(crate) static $name: Figure = $figure;)+)+

        /// Every figure, by section, in the order of the table.
        pub(crate) static SECTIONS: &[(&str, &[&Figure])] = &[$(($section, &[$(&$name),+])),+];
    };
}

figures! {
    "A request" {
        INSTRUCTIONS = counted("instructions", "instructions of a request over bare", MoreInstructions)
            .at_most(6_000.0, 4_000.0);
        INSTRUCTIONS_NESTED = counted(
            "instructions_nested",
            "instructions over bare with a `#[instrument]` child and an `info!` (lean)",
            MoreInstructions,
        )
        .at_most(9_000.0, 6_500.0);
        INSTRUCTIONS_OF_SPAN = counted(
            "instructions_of_span",
            "what that child and that event add (lean)",
            MoreInstructions,
        )
        .must_at_most(3_000.0);
        CPU = timed("cpu", "CPU time of a request, pinned, of bare's", Times).at_most(1.25, 1.15);
        THROUGHPUT = timed("throughput", "throughput on one pinned core, of bare's", Of).at_least(0.72, 0.80);
        CPU_LOKI = timed("cpu_loki", "CPU time with Loki push on as well, of bare's", Times)
            .must_at_most(1.35);
        CPU_TWO_WORKERS = timed("cpu_two_workers", "CPU time with 2 workers, not pinned, of bare's", Times)
            .at_most(1.25, 1.15);
        AGAINST_USUAL = timed("against_usual", "CPU time of the usual composition, of ours", Times)
            .at_least(3.0, 3.5);
        P99_HALF = timed("p99_half", "p99 at half of bare's highest rate, open loop, of bare's", Times)
            .at_most(2.0, 1.3);
    }
    "For comparison" {
        INSTRUCTIONS_BARE = counted(
            "instructions_bare",
            "instructions of a request of bare actix-web",
            Instructions,
        );
        INSTRUCTIONS_LEAN = counted(
            "instructions_lean",
            "the request middleware alone over bare (lean)",
            MoreInstructions,
        );
        INSTRUCTIONS_USUAL = counted(
            "instructions_usual",
            "the usual composition over bare",
            MoreInstructions,
        );
        INSTRUCTIONS_USUAL_NESTED = counted(
            "instructions_usual_nested",
            "the usual composition with the child and the event over bare",
            MoreInstructions,
        );
        CPU_USUAL = timed("cpu_usual", "CPU time of the usual composition, pinned, of bare's", Times);
        THROUGHPUT_USUAL = timed("throughput_usual", "throughput of the usual composition, of bare's", Of);
        CPU_USUAL_TWO_WORKERS = timed(
            "cpu_usual_two_workers",
            "CPU time of the usual composition with 2 workers, of bare's",
            Times,
        );
        P99_BARE = timed("p99_bare", "p99 of bare at half of its highest rate", Milliseconds);
    }
    "At rest" {
        IDLE_CPU = timed("idle_cpu", "CPU without requests, of a core", Percent).at_most(0.2, 0.05);
        START = timed("start", "start of the process to its first answer", Milliseconds).must_at_most(100.0);
        RESIDENT = counted("resident", "resident memory after the first answer", Mebibytes)
            .must_at_most(20.0);
    }
    "As it grows" {
        ROUTES = counted(
            "routes",
            "instructions with 500 routes, of bare's with 500, to the same with 1 (lean)",
            Times,
        )
        .must_at_most(1.05);
        ROUTES_EXTRA = counted(
            "routes_extra",
            "instructions over bare with 500 routes (lean)",
            MoreInstructions,
        );
        SERIES = counted(
            "series",
            "instructions over bare with 10,000 series, of those with 10 (lean)",
            Times,
        )
        .must_at_most(1.05);
        SCRAPE_10K = timed("scrape_10k", "CPU time of a scrape of 10,000 series (lean)", Milliseconds)
            .must_at_most(2.0);
        SCRAPE_100K = timed("scrape_100k", "CPU time of a scrape of 100,000 series (lean)", Milliseconds)
            .must_at_most(25.0);
        P99_SCRAPED = timed(
            "p99_scraped",
            "p99 with 10,000 series scraped ten times a second, of that without (lean)",
            Times,
        )
        .must_at_most(1.10);
        DRIFT = timed("drift", "CPU time at the end of a long run, of that at its start", Times)
            .must_at_most(1.05);
        GROWTH = timed(
            "growth",
            "resident memory gained from the first third of that run to its last",
            Mebibytes,
        )
        .must_at_most(2.0);
    }
    "Delivery" {
        LOKI_1K = timed("loki_1k", "CPU time of a line pushed to Loki, 1,000 a second", Microseconds)
            .must_at_most(2.0);
        LOKI_10K = timed("loki_10k", "CPU time of a line pushed to Loki, 10,000 a second", Microseconds)
            .must_at_most(2.0);
        LOKI_50K = timed("loki_50k", "CPU time of a line pushed to Loki, 50,000 a second", Microseconds)
            .must_at_most(2.0);
        OTLP_1K = timed("otlp_1k", "CPU time of a span made and exported, 1,000 a second", Microseconds)
            .must_at_most(2.0);
        OTLP_10K = timed("otlp_10k", "CPU time of a span made and exported, 10,000 a second", Microseconds)
            .must_at_most(2.0);
        OTLP_50K = timed("otlp_50k", "CPU time of a span made and exported, 50,000 a second", Microseconds)
            .must_at_most(2.0);
        FAULT_STDOUT = timed(
            "fault_stdout",
            "p99 above 1.2 times that before, while the reader of stdout stops",
            Milliseconds,
        )
        .aims_at_most(2.0);
        FAULT_LOKI = timed("fault_loki", "p99 above 1.2 times that before, while Loki hangs", Milliseconds)
            .aims_at_most(2.0);
        FAULT_OTLP = timed(
            "fault_otlp",
            "p99 above 1.2 times that before, while the collector hangs",
            Milliseconds,
        )
        .aims_at_most(2.0);
        FAULT_BOTH = timed("fault_both", "p99 above 1.2 times that before, while both are gone", Milliseconds)
            .aims_at_most(2.0);
    }
    "Inference" {
        CALL_JSON = timed("call_json", "CPU time of a JSON call, of a plain proxy's", Times)
            .must_at_most(1.5);
        CALL_STREAM = timed("call_stream", "CPU time of a stream of 36 events, of a plain proxy's", Times)
            .must_at_most(1.3);
        CALL_ADDED = timed("call_added", "p50 added to a JSON call at one connection", Milliseconds)
            .must_at_most(0.1);
        CALL_MEMORY = counted("call_memory", "resident memory with 1,000 open streams", Megabytes)
            .must_at_most(40.0);
        FLOOR_MEMORY = counted("floor_memory", "the same of a plain proxy", Megabytes);
        CALL_JSON_INSTRUCTIONS = counted(
            "call_json_instructions",
            "instructions of a JSON call, of a plain proxy's",
            Times,
        )
        .must_at_most(1.2);
        CALL_STREAM_INSTRUCTIONS = counted(
            "call_stream_instructions",
            "instructions of a stream, of a plain proxy's",
            Times,
        )
        .must_at_most(1.2);
    }
}

impl Bound {
    /// Whether a value is within.
    pub(crate) fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }

    /// The value itself.
    pub(crate) fn value(self) -> f64 {
        match self {
            Self::AtMost(value) | Self::AtLeast(value) => value,
        }
    }

    /// `at most 1.25 x`.
    pub(crate) fn words(self, unit: Unit) -> String {
        match self {
            Self::AtMost(most) => format!("at most {}", unit.show(most)),
            Self::AtLeast(least) => format!("at least {}", unit.show(least)),
        }
    }
}

impl Unit {
    /// The value with its unit, rounded as far as it means something.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Instructions => thousands(value),
            Self::MoreInstructions if value < 0.0 => format!("-{}", thousands(-value)),
            Self::MoreInstructions => format!("+{}", thousands(value)),
            Self::Times => format!("{value:.2} x"),
            Self::Of => format!("{value:.2}"),
            Self::Percent => format!("{value:.2} %"),
            Self::Microseconds => format!("{value:.2} us"),
            Self::Milliseconds if value >= 10.0 => format!("{value:.0} ms"),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Mebibytes => format!("{value:.1} MiB"),
            Self::Megabytes => format!("{value:.1} MB"),
        }
    }

    /// `1.18 to 1.24 x`.
    pub(crate) fn show_interval(self, [low, high]: [f64; 2]) -> String {
        let (low, high) = (self.show(low), self.show(high));
        let low = match high.rsplit_once(' ') {
            Some((_, unit)) => low.trim_end_matches(unit).trim_end(),
            None => &low,
        };
        format!("{low} to {high}")
    }
}

/// `12,345`.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Bound, SECTIONS, Unit};

    #[test]
    fn every_figure_has_a_key_of_its_own() {
        let keys: Vec<_> = SECTIONS
            .iter()
            .flat_map(|(_, figures)| figures.iter().map(|figure| figure.key))
            .collect();

        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    }

    #[test]
    fn a_goal_is_stricter_than_what_must_hold() {
        for figure in SECTIONS.iter().flat_map(|(_, figures)| *figures) {
            if let (Some(must), Some(goal)) = (figure.must, figure.goal) {
                assert!(must.holds(goal.value()), "{}", figure.key);
                assert!(!goal.holds(must.value()), "{}", figure.key);
            }
        }
    }

    #[test]
    fn values_are_shown_with_their_unit() {
        assert_eq!(Unit::MoreInstructions.show(12_345.4), "+12,345");
        assert_eq!(Unit::MoreInstructions.show(-512.0), "-512");
        assert_eq!(Bound::AtLeast(0.72).words(Unit::Of), "at least 0.72");
        assert_eq!(Unit::Milliseconds.show(0.123), "0.12 ms");
        assert_eq!(Unit::Milliseconds.show_interval([0.1, 0.2]), "0.10 to 0.20 ms");
        assert_eq!(Unit::Of.show_interval([0.8, 0.82]), "0.80 to 0.82");
    }
}
