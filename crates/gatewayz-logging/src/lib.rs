#![doc = include_str!("../README.md")]

pub mod bunyan;
mod clock;
mod endpoint;
mod fields;
mod hex;
mod ids;
mod json;
mod key;
mod known;
mod layer;
mod level;
mod line;
mod members;
mod pretty;
mod stdout;
mod storm;
mod target;

pub use clock::{unix_nanos, write_timestamp};
pub use endpoint::Endpoint;
pub use fields::Inherited;
pub use hex::hex_digits;
pub use ids::SpanIds;
pub use json::write_escaped;
pub use layer::{FactSource, LogLayer, RequestFacts, SpanFacts};
pub use level::{LevelHandle, LevelParseError, Levels};
pub use line::{
    Format, LineEncoder, LineSettings, PreparedEventLine, PreparedRequestLine, REQUEST_LINE_MAX_BYTES,
    RequestLine,
};
pub use members::Members;
pub use stdout::{Line, LineSink, Lines, Stdout};
