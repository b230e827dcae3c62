#![doc = include_str!("../README.md")]
#![expect(clippy::expect_used, reason = "test support fails by panicking")]

pub mod http;
pub mod otlp;
pub mod parsers;
pub mod process;
pub mod scrape;
mod skip;

pub use skip::skip;
