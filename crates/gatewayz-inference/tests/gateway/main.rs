//! The gateway against providers that fail in every way, over real sockets.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::format_push_string,
    reason = "test support fails by panicking"
)]

mod attempts;
mod broken_streams;
mod caching;
mod conservation;
mod contract;
mod harness;
mod signals;
mod state;
mod streams;
