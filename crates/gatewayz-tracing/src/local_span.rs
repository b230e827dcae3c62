//! A span inside this process: what its end needs, and the fields it obeys.

use std::fmt::Debug;
use std::sync::Arc;

use opentelemetry::trace::{SpanId, SpanKind, TraceId};
use tracing::field::{Field, Visit};

use crate::attributes::Attributes;
use crate::clock::Moment;
use crate::current::current_request;
use crate::encode::{self, StatusCode};
use crate::layer::SpanState;
use crate::server_span::ServerSpan;
use crate::tracer::{SpanIdentity, Tracer};
use crate::w3c::TraceContext;

/// A span that ends when its `tracing` span closes.
#[derive(Debug)]
pub struct LocalSpan {
    identity: SpanIdentity,
    /// The request it belongs to; `None` outside of requests.
    request: Option<Arc<ServerSpan>>,
    started: Moment,
    said: Said,
}

/// What the span's fields say of it.
#[derive(Debug, Default)]
pub(crate) struct Said {
    name: Option<String>,
    kind: Option<SpanKind>,
    status: Option<StatusCode>,
    status_message: Option<String>,
    attributes: Attributes,
}

impl Default for LocalSpan {
    /// A span that has not begun, and has no ids yet.
    fn default() -> Self {
        Self {
            identity: SpanIdentity {
                context: TraceContext::root(TraceId::INVALID, SpanId::INVALID, false),
                parent_span_id: None,
                parent_is_remote: false,
            },
            request: None,
            started: Moment::now(),
            said: Said::default(),
        }
    }
}

impl LocalSpan {
    /// Begins below `parent`. What an ended span allocated is used again.
    pub(crate) fn begin_below(&mut self, parent: &SpanState) {
        self.identity.become_child_of(parent.identity());
        self.request = parent.request().cloned();
        self.started = Moment::now();
    }

    /// Begins without a parent among the spans: below the request of this thread when it `is_contextual`, else as the
    /// first of a trace of its own.
    pub(crate) fn begin_on_thread(&mut self, tracer: &Tracer, is_contextual: bool) {
        self.request = is_contextual.then(current_request).flatten();
        self.started = Moment::now();
        match &self.request {
            Some(request) => self.identity.become_child_of(request.identity()),
            None => self.identity = tracer.identify(None, self.started),
        }
    }

    /// Lets go of what the span held, except for its buffers.
    pub(crate) fn clear(&mut self) {
        self.request = None;
        self.identity.context.state = None;
        self.said.clear();
    }

    pub(crate) fn attributes(&self) -> &Attributes {
        &self.said.attributes
    }

    /// Where its fields are recorded.
    pub(crate) fn said(&mut self) -> &mut Said {
        &mut self.said
    }

    pub(crate) fn identity(&self) -> &SpanIdentity {
        &self.identity
    }

    pub(crate) fn request(&self) -> Option<&Arc<ServerSpan>> {
        self.request.as_ref()
    }

    pub(crate) fn export(&self, tracer: &Tracer, name: &str) {
        let start = self.started.unix_nanos();
        let end = start.saturating_add(Moment::now().nanos_since(self.started));
        tracer.export(&self.identity, start, end, |out| {
            let said = &self.said;
            let kind = said.kind.as_ref().unwrap_or(&SpanKind::Internal);
            encode::kind_and_name(kind, said.name.as_deref().unwrap_or(name), out);
            said.attributes.write(out);
            if let Some(status) = said.status {
                encode::status(status, said.status_message.as_deref().unwrap_or_default(), out);
            }
        });
    }
}

impl Said {
    /// Says nothing any more; a buffer of ordinary length stays.
    pub(crate) fn clear(&mut self) {
        self.name = None;
        self.kind = None;
        self.status = None;
        self.status_message = None;
        self.attributes.clear();
    }

    /// Takes over what `later` says.
    pub(crate) fn take(&mut self, later: &mut Self) {
        replace(&mut self.name, &mut later.name);
        replace(&mut self.kind, &mut later.kind);
        replace(&mut self.status, &mut later.status);
        replace(&mut self.status_message, &mut later.status_message);
        self.attributes.append(&later.attributes);
    }

    /// Obeys the fields that `tracing-opentelemetry` made customary; `false` when the field is an attribute.
    fn obey(&mut self, field: &Field, value: &str) -> bool {
        let Some(instruction) = field.name().strip_prefix("otel.") else {
            return false;
        };
        match instruction {
            "name" => self.name = Some(encode::cut(value).to_owned()),
            "kind" => self.kind = Some(kind(value)),
            "status_code" => self.status = Some(status(value)),
            "status_message" | "status_description" => {
                self.status_message = Some(encode::cut(value).to_owned());
            }
            _ => return false,
        }
        true
    }
}

fn replace<T>(old: &mut Option<T>, new: &mut Option<T>) {
    if let Some(new) = new.take() {
        *old = Some(new);
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

impl Visit for Said {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.attributes.record_i64(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.attributes.record_u64(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.attributes.record_bool(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.attributes.record_f64(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if !self.obey(field, value) {
            self.attributes.record_str(field, value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
