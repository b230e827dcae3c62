//! What sinks over HTTP share: one exchange at a time, bounded in time and memory; and what every client shares.
//!
//! Nothing is followed, proxied or decompressed. An exchange ends with an [`Answer`] or with a
//! [`Failure`](crate::Failure) whose status is `connect`, `transport` or `timeout`; what an answer means is the
//! sink's word.

mod answer;
mod client;
mod runtime;
mod secrets;
mod tls;

pub use answer::{Answer, retry_after};
pub use client::{HttpClient, IDLE_TIMEOUT, client_builder, untraced_client};
pub use runtime::{CONNECT_TIMEOUT, SinkRuntime, root_cause, within};
pub use secrets::Secrets;
pub use tls::{TlsError, client_tls, install_crypto_provider};
