#![doc = include_str!("../README.md")]

mod batch;
mod delivery;
#[cfg(feature = "http")]
pub mod http;
mod ledger;
mod queue;
mod retry;
mod sink;
mod time;
mod worker;

pub use batch::{Batch, SharedRun};
pub use delivery::{Delivery, Flushed, delivering};
pub use ledger::{Discard, LastError, Status};
pub use queue::{Admission, Queue, QueueSettings, Severity};
pub use retry::RetryPolicy;
pub use sink::{Attempt, Failure, Observe, Sink};
