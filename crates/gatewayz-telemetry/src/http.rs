//! The request middleware: one outcome, three signals.

mod body;
mod families;
mod handles;
mod in_flight;
mod method;
mod middleware;
mod root_span;

pub(crate) use families::{FAMILIES, register_info};
pub(crate) use in_flight::Recorder;
pub(crate) use root_span::RequestHead;

pub use middleware::{ProblemPage, RequestTelemetry};
