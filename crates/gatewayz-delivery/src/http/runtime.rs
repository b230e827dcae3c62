//! The runtime of a sink, which turns only while the sink sends.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use tokio::runtime::{EnterGuard, Runtime};
use tokio::task::yield_now;
use tokio::time::timeout_at;

use crate::Failure;

/// Longest time a connection may take to be there.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A runtime on the delivery thread: no service runtime is needed or waited for, so a service with one worker
/// cannot deadlock.
#[derive(Debug)]
pub struct SinkRuntime(Runtime);

impl SinkRuntime {
    /// Starts a runtime without threads of its own.
    ///
    /// # Errors
    /// When the system refuses what an event loop needs.
    pub fn new() -> io::Result<Self> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map(Self)
    }

    /// Makes it the current runtime, for clients that want one when they are built.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.0.enter()
    }

    /// Drives one exchange to its end.
    pub fn drive<T>(&self, exchange: impl Future<Output = T>) -> T {
        self.0.block_on(async {
            // The runtime has stood still since the last exchange. The first turn learns of the connections that
            // were closed meanwhile, the second lets their tasks say so before one of them is chosen.
            yield_now().await;
            yield_now().await;
            let exchanged = exchange.await;
            // The connection goes back to the pool, or away, before the runtime stands still.
            yield_now().await;
            exchanged
        })
    }
}

/// Waits for `exchange` until `deadline`, then lets go of it.
///
/// # Errors
/// With the status `timeout` when the deadline came first.
pub async fn within<T>(deadline: Instant, exchange: impl Future<Output = T>) -> Result<T, Failure> {
    timeout_at(deadline.into(), exchange)
        .await
        .map_err(|_| Failure::new("timeout", "no answer within the time limit"))
}

/// The innermost cause: "connection refused" helps an operator, "error sending request" does not.
#[must_use]
pub fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
