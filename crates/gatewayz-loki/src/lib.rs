#![doc = include_str!("../README.md")]

mod answer;
mod clock;
pub mod record;
mod request;
mod settings;
mod sink;

pub use settings::{BuildError, Credentials, LokiSettings, StreamLabels, Wire};
pub use sink::LokiSink;
