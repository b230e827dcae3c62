#![doc = include_str!("../README.md")]
#![expect(clippy::expect_used, reason = "test support fails by panicking")]

mod background;
pub mod http;
pub mod loki;
pub mod otlp;
pub mod parsers;
pub mod process;
mod protobuf;
pub mod provider;
pub mod proxy;
pub mod scrape;
mod script;
mod serve;
mod skip;
pub mod tools;

pub use skip::skip;
