#![doc = include_str!("../README.md")]

mod deliveries;
mod facts;
mod foreign;
mod health;
mod http;
mod loki_lines;
mod notices;
mod outcome;
mod panic;
mod pieces;
mod resource;
mod scrape;
mod self_metrics;
mod settings;
mod start;

use gatewayz_metrics::Family;

pub use foreign::PrometheusFamilies;
pub use health::{SignalHealth, SignalState};
pub use http::{ProblemPage, REQUESTS, RequestFields, RequestTelemetry};
pub use pieces::in_pieces;
pub use scrape::ScrapeError;
pub use settings::{ExportSettings, LogSettings, LokiExport, TelemetrySettings, TraceSettings};
pub use start::{ShutdownGuard, ShutdownReport, StartError, Telemetry};

/// Every family this crate feeds, in the order of the page, with the heading they stand under in docs.
pub const FAMILIES: &[(&str, &[Family])] = &[
    ("HTTP", http::FAMILIES),
    ("Process", gatewayz_metrics::process::FAMILIES),
    ("Telemetry", self_metrics::FAMILIES),
];
