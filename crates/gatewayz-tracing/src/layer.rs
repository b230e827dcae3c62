//! The `tracing` layer that makes a span of each `tracing` span, storing only what its end needs.

use std::sync::Arc;

use tracing::Subscriber;
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::attributes::FieldValue;
use crate::local_span::LocalSpan;
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

    /// Shows each field of the span to `look`.
    pub fn fields(&self, look: impl FnMut(&'static str, FieldValue<'_>)) {
        match self {
            Self::Server(server) => server.fields(look),
            Self::Local(local) => local.attributes().each(look),
        }
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
                server.record(|visit| attributes.record(visit));
                SpanState::Server(server)
            }
            None => {
                let mut local = Box::<LocalSpan>::default();
                let below = span.parent().and_then(|parent| {
                    let extensions = parent.extensions();
                    extensions.get().map(|parent| local.begin_below(parent))
                });
                if below.is_none() {
                    local.begin_on_thread(&self.tracer, attributes.is_contextual());
                }
                attributes.record(local.said());
                SpanState::Local(local)
            }
        };
        span.extensions_mut().insert(state);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        match span.extensions_mut().get_mut::<SpanState>() {
            Some(SpanState::Server(server)) => server.record(|visit| values.record(visit)),
            Some(SpanState::Local(local)) => values.record(local.said()),
            None => {}
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        if let Some(SpanState::Local(local)) = span.extensions().get::<SpanState>() {
            local.export(&self.tracer, span.name());
        }
    }
}
