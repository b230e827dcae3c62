//! The handlers, a file per subject.

pub mod diagnostics;
pub mod docs;
pub mod inference;
pub mod instrumentation;
pub mod log_level;
pub mod metrics;
pub mod probes;
pub mod root;
pub mod users;
