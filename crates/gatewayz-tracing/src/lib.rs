#![doc = include_str!("../README.md")]

mod api;
mod attributes;
mod clock;
mod current;
mod encode;
pub mod id;
mod layer;
mod local_span;
pub mod otlp;
pub mod sampler;
mod server_span;
mod spans;
mod tracer;
pub mod w3c;

pub use api::otel_context;
pub use attributes::FieldValue;
pub use clock::Moment;
pub use current::{RequestSubscriber, context_of, current_context, current_request, in_request};
pub use layer::{SpanLayer, SpanState};
pub use local_span::LocalSpan;
pub use server_span::{Exception, PreparedServerSpan, ServerSpan, SpanEnd};
pub use spans::{Around, Events, SpanSubscriber};
pub use tracer::{SpanIdentity, Tracer};
