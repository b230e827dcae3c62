#![doc = include_str!("../README.md")]

mod attempt;
mod audit;
mod credential;
mod guard;
mod keygen;
mod keys;
mod peers;
mod refusal;

pub use attempt::{AttemptCount, AuthStats};
pub use guard::{Access, AdminIdentity, Guard, routed_path};
pub use keygen::{KeygenError, NewKey, keygen};
pub use keys::{AdminKeys, DisabledReason, KeyError, Published};
pub use refusal::Problem;
