//! The `tracing` layer that makes a span of each `tracing` span, storing only what its end needs.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::SpanKind;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes as SpanAttributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::current::current_request;
use crate::encode::{self, StatusCode};
use crate::server_span::{Attributes, ServerSpan};
use crate::tracer::{SpanIdentity, Tracer};

/// What the layer keeps in a span's extensions.
#[derive(Debug)]
pub enum SpanState {
    /// The span of a served request, ended by its outcome.
    Server(Arc<ServerSpan>),
    /// A span inside this process, ended when it is closed.
    Local(Box<LocalSpan>),
}

/// A span that ends when its `tracing` span closes.
#[derive(Debug)]
pub struct LocalSpan {
    identity: SpanIdentity,
    /// The request it belongs to; `None` outside of requests.
    request: Option<Arc<ServerSpan>>,
    started: Instant,
    start_unix_nanos: u64,
    name: Option<String>,
    kind: SpanKind,
    status: StatusCode,
    status_message: String,
    attributes: Attributes,
}

impl SpanState {
    /// The span's ids and flags.
    #[must_use]
    pub fn identity(&self) -> &SpanIdentity {
        match self {
            Self::Server(server) => server.identity(),
            Self::Local(local) => &local.identity,
        }
    }

    /// The request the span belongs to, or is; `None` outside of requests.
    #[must_use]
    pub fn request(&self) -> Option<&Arc<ServerSpan>> {
        match self {
            Self::Server(server) => Some(server),
            Self::Local(local) => local.request.as_ref(),
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
    fn on_new_span(&self, attributes: &SpanAttributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let state = match ServerSpan::take_pending() {
            Some(server) => {
                if !attributes.is_empty() {
                    attributes.record(&mut ServerFields(&server));
                }
                SpanState::Server(server)
            }
            None => {
                let parent = span.parent();
                let inherited = parent.as_ref().and_then(|parent| {
                    let extensions = parent.extensions();
                    let state = extensions.get::<SpanState>()?;
                    Some((state.identity().child(), state.request().cloned()))
                });
                let (identity, request) = inherited
                    .or_else(|| {
                        // A span that says it has no parent starts a trace of its own, even inside a request.
                        let request = current_request().filter(|_| attributes.is_contextual())?;
                        Some((request.identity().child(), Some(request)))
                    })
                    .unwrap_or_else(|| (self.tracer.identify(None, Instant::now()), None));
                let mut local = Box::new(LocalSpan::new(identity, request));
                if local.identity.is_sampled() {
                    attributes.record(&mut *local);
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
            Some(SpanState::Local(local)) if local.identity.is_sampled() => values.record(&mut **local),
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

impl LocalSpan {
    fn new(identity: SpanIdentity, request: Option<Arc<ServerSpan>>) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            identity,
            request,
            started: Instant::now(),
            start_unix_nanos: u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX),
            name: None,
            kind: SpanKind::Internal,
            status: StatusCode::Unset,
            status_message: String::new(),
            attributes: Attributes::default(),
        }
    }

    fn export(&self, tracer: &Tracer, name: &str) {
        let took = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let end = self.start_unix_nanos.saturating_add(took);
        tracer.export(&self.identity, self.start_unix_nanos, end, |out| {
            encode::name(self.name.as_deref().unwrap_or(name), out);
            encode::kind(&self.kind, out);
            self.attributes.write(out);
            encode::status(self.status, &self.status_message, out);
        });
    }

    /// Obeys the fields that `tracing-opentelemetry` made customary; `false` when the field is an attribute.
    fn obey(&mut self, field: &Field, value: &str) -> bool {
        match field.name() {
            "otel.name" => self.name = Some(encode::cut(value).to_owned()),
            "otel.kind" => self.kind = kind(value),
            "otel.status_code" => self.status = status(value),
            "otel.status_message" | "otel.status_description" => {
                self.status_message = encode::cut(value).to_owned();
            }
            _ => return false,
        }
        true
    }
}

fn kind(word: &str) -> SpanKind {
    const KINDS: [(&str, SpanKind); 4] = [
        ("server", SpanKind::Server),
        ("client", SpanKind::Client),
        ("producer", SpanKind::Producer),
        ("consumer", SpanKind::Consumer),
    ];
    let known = KINDS
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word));
    known.map_or(SpanKind::Internal, |(_, kind)| kind)
}

fn status(word: &str) -> StatusCode {
    if word.eq_ignore_ascii_case("error") {
        StatusCode::Error
    } else if word.eq_ignore_ascii_case("ok") {
        StatusCode::Ok
    } else {
        StatusCode::Unset
    }
}

impl Visit for LocalSpan {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.attributes
            .add(|out| encode::integer_attribute(field.name(), value, out));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.record_i64(field, value),
            Err(_) => self
                .attributes
                .add(|out| encode::text_attribute(field.name(), &value.to_string(), out)),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.attributes
            .add(|out| encode::flag_attribute(field.name(), value, out));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.attributes
            .add(|out| encode::number_attribute(field.name(), value, out));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if !self.obey(field, value) {
            self.attributes
                .add(|out| encode::text_attribute(field.name(), value, out));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Fields recorded on a request's `tracing` span become attributes of the server span.
struct ServerFields<'a>(&'a ServerSpan);

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
