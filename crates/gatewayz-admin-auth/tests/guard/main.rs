//! The guard in front of a service, through real requests.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod audit;
mod matrix;
mod server;
mod support;
mod throttle;
