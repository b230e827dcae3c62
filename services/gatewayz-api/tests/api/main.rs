//! The service as its users meet it: the built binary, its answers, its log, its metrics.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod admin_matrix;
mod bad_input;
mod bad_settings;
mod container;
mod dashboards;
mod delivery;
mod exposition;
mod harness;
mod inference;
mod inference_metrics;
mod log_lines;
mod panics;
mod prometheus;
mod reload;
mod resource;
mod sdk;
mod seeds;
mod shutdown;
