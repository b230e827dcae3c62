#![doc = include_str!("../README.md")]

mod api;
mod current;
pub mod encode;
pub mod id;
mod layer;
pub mod otlp;
pub mod sampler;
mod server_span;
mod tracer;
pub mod w3c;

pub use api::otel_context;
pub use current::{RequestSubscriber, context_of, current_context, current_request, in_request};
pub use layer::{SpanLayer, SpanState};
pub use server_span::{Exception, PreparedServerSpan, ServerSpan, SpanEnd};
pub use tracer::{SpanIdentity, Tracer};
