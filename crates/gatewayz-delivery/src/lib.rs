#![doc = include_str!("../README.md")]

mod batch;
mod delivery;
mod ledger;
mod queue;
mod retry;
mod sink;
mod worker;

pub use batch::Batch;
pub use delivery::{Delivery, Flushed};
pub use ledger::{Discard, LastError, Status};
pub use queue::{Admission, Queue, QueueSettings, Severity};
pub use retry::RetryPolicy;
pub use sink::{Attempt, Failure, Observe, Sink};
