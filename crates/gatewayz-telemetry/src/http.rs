//! The request middleware: one outcome, three signals.

mod body;
mod families;
mod fields;
mod handles;
mod head;
mod in_flight;
mod matcher;
mod method;
mod middleware;
mod payload;
mod worker;

pub(crate) use families::{FAMILIES, register_info};
pub(crate) use head::RequestHead;
pub(crate) use in_flight::Recorder;
pub(crate) use worker::InFlightCounts;

pub use families::REQUESTS;
pub use fields::RequestFields;
pub use middleware::{ProblemPage, RequestTelemetry};
