//! The subscriber that keeps open spans itself, seen through `tracing`'s own macros and the spans it exports.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod hostile;
mod kit;
mod same_as_registry;
