//! The `tracing` layer that makes a span of each `tracing` span, storing only what its end needs.

use std::fmt::Debug;
use std::sync::Arc;

use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::encode;
use crate::local_span::{LocalSpan, Position};
use crate::server_span::ServerSpan;
use crate::tracer::{SpanIdentity, Tracer};

/// What is known of a `tracing` span: here, and in the extensions of a registry's span.
#[derive(Debug)]
pub enum SpanState {
    /// The span of a served request, ended by its outcome.
    Server(Arc<ServerSpan>),
    /// A span inside this process, ended when it is closed.
    Local(Box<LocalSpan>),
}

impl SpanState {
    /// The span's ids and flags.
    #[must_use]
    pub fn identity(&self) -> &SpanIdentity {
        match self {
            Self::Server(server) => server.identity(),
            Self::Local(local) => local.identity(),
        }
    }

    /// The request the span belongs to, or is; `None` outside of requests.
    #[must_use]
    pub fn request(&self) -> Option<&Arc<ServerSpan>> {
        match self {
            Self::Server(server) => Some(server),
            Self::Local(local) => local.request(),
        }
    }

    /// Where a span below this one stands.
    pub(crate) fn child(&self) -> Position {
        Position::below(self.identity(), self.request())
    }
}

/// Makes a span of each `tracing` span; see the crate's documentation for the field names it obeys.
#[derive(Debug)]
pub struct SpanLayer {
    tracer: Tracer,
}

impl SpanLayer {
    pub(crate) fn new(tracer: Tracer) -> Self {
        Self { tracer }
    }
}

impl<S> Layer<S> for SpanLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let state = match ServerSpan::take_pending() {
            Some(server) => {
                attributes.record(&mut ServerFields(&server));
                SpanState::Server(server)
            }
            None => {
                let below = span
                    .parent()
                    .and_then(|parent| parent.extensions().get::<SpanState>().map(SpanState::child));
                let position =
                    below.unwrap_or_else(|| Position::on_thread(&self.tracer, attributes.is_contextual()));
                let mut local = Box::new(LocalSpan::new(position));
                if local.identity().is_sampled() {
                    attributes.record(local.said());
                }
                SpanState::Local(local)
            }
        };
        span.extensions_mut().insert(state);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        match span.extensions_mut().get_mut::<SpanState>() {
            Some(SpanState::Server(server)) => values.record(&mut ServerFields(server)),
            Some(SpanState::Local(local)) if local.identity().is_sampled() => values.record(local.said()),
            Some(SpanState::Local(_)) | None => {}
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        if let Some(SpanState::Local(local)) = span.extensions().get::<SpanState>() {
            local.export(&self.tracer, span.name());
        }
    }
}

/// Fields recorded on a request's `tracing` span become attributes of the server span.
pub(crate) struct ServerFields<'a>(pub(crate) &'a ServerSpan);

impl Visit for ServerFields<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0
            .recorded()
            .add(|out| encode::integer_attribute(field.name(), value, out));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0
            .recorded()
            .add(|out| encode::flag_attribute(field.name(), value, out));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0
            .recorded()
            .add(|out| encode::number_attribute(field.name(), value, out));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0
            .recorded()
            .add(|out| encode::text_attribute(field.name(), value, out));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
