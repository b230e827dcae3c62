//! What a crate declares about a metric: name, kind, help, labels, unit, buckets and aliases.

/// One metric family, declared as a constant by the crate that feeds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Family {
    /// Name on the page; a counter's ends in `_total`.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// One sentence for the reader of the page.
    pub help: &'static str,
    /// Label names, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// Base unit; for seconds and bytes the name must end in it.
    pub unit: Unit,
    /// Upper bounds in the base unit, ascending, without `+Inf`; empty unless a histogram.
    pub buckets: &'static [f64],
    /// Series kept before further label sets go to `__other__`.
    pub series_limit: usize,
    /// How many native steps make one unit of a counter or histogram: 1,000,000,000 for seconds, so that
    /// updates are whole nanoseconds. A power of ten. Gauges do not use it.
    pub steps_per_unit: u64,
    /// Further names under which the same cells are written.
    pub aliases: &'static [Alias],
}

/// A further name for a family's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alias {
    /// Name on the page, under the rules of the family's own name.
    pub name: &'static str,
    /// One sentence for the reader of the page.
    pub help: &'static str,
    /// Whether it is written only when [`RegistrySettings::legacy_aliases`](crate::RegistrySettings) is on.
    pub legacy: bool,
}

/// How a family's samples behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations by size.
    Histogram,
}

/// Base unit of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// A plain number.
    None,
    /// Seconds; counters and histograms take nanoseconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share between 0 and 1; counters and histograms take billionths.
    Ratio,
}

impl Family {
    /// Series a family keeps unless it says otherwise.
    pub const DEFAULT_SERIES_LIMIT: usize = 2_000;

    /// A counter without a unit.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self::new(name, Kind::Counter, help, labels)
    }

    /// A gauge without a unit.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self::new(name, Kind::Gauge, help, labels)
    }

    /// A histogram with upper bounds in `unit`; `+Inf` is added.
    #[must_use]
    pub const fn histogram(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        unit: Unit,
        buckets: &'static [f64],
    ) -> Self {
        let mut family = Self::new(name, Kind::Histogram, help, labels).with_unit(unit);
        family.buckets = buckets;
        family
    }

    /// Sets the unit and its usual [`steps_per_unit`](Self::steps_per_unit).
    #[must_use]
    pub const fn with_unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self.steps_per_unit = match unit {
            Unit::None | Unit::Bytes => 1,
            Unit::Seconds | Unit::Ratio => 1_000_000_000,
        };
        self
    }

    /// Sets the steps of one unit, a power of ten: money counted in billionths stays exact. Call it after
    /// [`with_unit`](Self::with_unit).
    #[must_use]
    pub const fn with_steps_per_unit(mut self, steps_per_unit: u64) -> Self {
        self.steps_per_unit = steps_per_unit;
        self
    }

    /// Adds further names for the same samples.
    #[must_use]
    pub const fn with_alias(mut self, aliases: &'static [Alias]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Sets how many series are kept.
    #[must_use]
    pub const fn with_series_limit(mut self, series_limit: usize) -> Self {
        self.series_limit = series_limit;
        self
    }

    const fn new(
        name: &'static str,
        kind: Kind,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            kind,
            help,
            labels,
            unit: Unit::None,
            buckets: &[],
            series_limit: Self::DEFAULT_SERIES_LIMIT,
            steps_per_unit: 1,
            aliases: &[],
        }
    }
}

impl Alias {
    /// A name that is always written.
    #[must_use]
    pub const fn always(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            legacy: false,
        }
    }

    /// A name of earlier releases, written only on request.
    #[must_use]
    pub const fn legacy(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            legacy: true,
        }
    }
}

impl Kind {
    /// The word of the `# TYPE` line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Unit {
    /// The word of the `# UNIT` line; empty without a unit.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
        }
    }
}
