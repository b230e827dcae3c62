//! What sinks over HTTP share: one exchange at a time, bounded in time and memory.
//!
//! Nothing is followed, proxied or decompressed. An exchange ends with an [`Answer`] or with a
//! [`Failure`](crate::Failure) whose status is `connect`, `transport` or `timeout`; what an answer means is the
//! sink's word.

mod answer;
mod client;
mod runtime;
mod secrets;

pub use answer::Answer;
pub use client::{HttpClient, untraced_client};
pub use runtime::{CONNECT_TIMEOUT, SinkRuntime, install_crypto_provider, root_cause, within};
pub use secrets::Secrets;
