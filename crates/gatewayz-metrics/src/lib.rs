#![doc = include_str!("../README.md")]

mod catalog;
mod cells;
mod collect;
mod exemplar;
mod family;
mod foreign;
mod format;
mod markdown;
pub mod process;
mod registry;
mod render;
mod series;
mod shard;
mod text;

pub use catalog::{CatalogError, Exposed};
pub use cells::{Counter, Gauge, Histogram};
pub use collect::{Collect, HistogramReading, Samples};
pub use exemplar::Exemplar;
pub use family::{Alias, Family, Kind, Unit};
pub use foreign::{ForeignFamilies, ForeignFamily, ForeignSeries, ForeignValue};
pub use format::Format;
pub use markdown::markdown;
pub use registry::{Registry, RegistrySettings};
pub use series::SeriesError;
pub use shard::claim_shard;

/// Requests for a series beyond a limit, by the family they were for.
pub const LABEL_OVERFLOW: Family = Family::counter(
    "telemetry_label_overflow_total",
    "Label sets beyond the series limit of a metric, recorded in its __other__ series.",
    &["metric"],
)
.with_series_limit(usize::MAX);

/// Collectors that panicked, and samples a collector offered that the page could not take.
pub const COLLECT_ERRORS: Family = Family::counter(
    "telemetry_collect_errors_total",
    "Collectors that failed and samples that were refused while a scrape was answered.",
    &[],
);

/// Families every [`Registry`] has, whether or not its catalog names them.
pub const FAMILIES: &[Family] = &[LABEL_OVERFLOW, COLLECT_ERRORS];
