#![doc = include_str!("../README.md")]

mod answer;
mod attempt;
mod breaker;
mod budget;
mod cache;
mod call;
mod catalog;
mod error;
mod failure;
mod gateway;
mod health;
mod keys;
pub mod metrics;
mod outcome;
mod pricing;
mod provider;
mod reading;
mod request;
mod room;
mod routing;
mod scrub;
mod span;
mod sse;
mod stream;

pub use answer::{Answer, AnswerStream, Body};
pub use call::Call;
pub use catalog::{Catalog, CatalogMistake, CatalogMistakes, SELF_TEST};
pub use error::InferenceError;
pub use gateway::{Gateway, GatewaySettings, LoadError, ProviderHealth, TraceHeaders};
pub use keys::{Admitted, ApiKeys, KeyError, RateLimit};
pub use metrics::FAMILIES;
pub use outcome::{CacheStatus, InferenceOutcome, Observe, Status, UsageSource};
pub use pricing::{Cost, PriceError, Prices, TokenPrice, Tokens};
pub use request::RequestError;
pub use room::{Room, Taken};
