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
    start_unix_nanos: u64,
    said: Said,
}

/// What the span's fields say of it.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Most spans have none.
    instructions: Option<Box<Instructions>>,
    attributes: Attributes,
}

/// What fields say to the exporter instead of about the span.
#[derive(Debug, Default)]
struct Instructions {
    name: Option<String>,
    kind: Option<SpanKind>,
    status: Option<StatusCode>,
    status_message: Option<String>,
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
            start_unix_nanos: 0,
            said: Said::default(),
        }
    }
}

impl LocalSpan {
    /// Begins below `parent`. What an ended span allocated is used again.
    pub(crate) fn begin_below(&mut self, parent: &SpanState) {
        self.identity.become_child_of(parent.identity());
        self.request = parent.request().cloned();
        self.start();
    }

    /// Begins without a parent among the spans: below the request of this thread when it `is_contextual`, else as the
    /// first of a trace of its own.
    pub(crate) fn begin_on_thread(&mut self, tracer: &Tracer, is_contextual: bool) {
        self.request = is_contextual.then(current_request).flatten();
        self.start();
        match &self.request {
            Some(request) => self.identity.become_child_of(request.identity()),
            None => self.identity = tracer.identify(None, self.started),
        }
    }

    /// The wall clock is asked now and not at the end: a step of it in between would move the span away from its
    /// request's.
    fn start(&mut self) {
        self.started = Moment::now();
        self.start_unix_nanos = self.started.unix_nanos();
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
        let start = self.start_unix_nanos;
        let end = start.saturating_add(Moment::now().nanos_since(self.started));
        tracer.export(&self.identity, start, end, |out| {
            let Said {
                instructions,
                attributes,
            } = &self.said;
            match instructions {
                None => encode::kind_and_name(&SpanKind::Internal, name, out),
                Some(instructions) => instructions.write(name, out),
            }
            attributes.write(out);
        });
    }
}

impl Said {
    /// Says nothing any more; a buffer of ordinary length stays.
    pub(crate) fn clear(&mut self) {
        self.instructions = None;
        self.attributes.clear();
    }

    /// Takes over what `later` says.
    pub(crate) fn take(&mut self, later: &mut Self) {
        if let Some(later) = later.instructions.take() {
            self.instructions.get_or_insert_default().take(*later);
        }
        self.attributes.append(&later.attributes);
    }

    /// Obeys the fields that `tracing-opentelemetry` made customary; `false` when the field is an attribute.
    fn obey(&mut self, field: &Field, value: &str) -> bool {
        let Some(instruction) = field.name().strip_prefix("otel.") else {
            return false;
        };
        let instructions = self.instructions.get_or_insert_default();
        match instruction {
            "name" => instructions.name = Some(encode::cut(value).to_owned()),
            "kind" => instructions.kind = Some(kind(value)),
            "status_code" => instructions.status = Some(status(value)),
            "status_message" | "status_description" => {
                instructions.status_message = Some(encode::cut(value).to_owned());
            }
            _ => return false,
        }
        true
    }
}

impl Instructions {
    /// Takes over what `later` says.
    fn take(&mut self, later: Self) {
        *self = Self {
            name: later.name.or(self.name.take()),
            kind: later.kind.or(self.kind.take()),
            status: later.status.or(self.status),
            status_message: later.status_message.or(self.status_message.take()),
        };
    }

    /// Appends kind, name and status; `name` is the span's own.
    fn write(&self, name: &str, out: &mut Vec<u8>) {
        let kind = self.kind.as_ref().unwrap_or(&SpanKind::Internal);
        encode::kind_and_name(kind, self.name.as_deref().unwrap_or(name), out);
        if let Some(status) = self.status {
            encode::status(status, self.status_message.as_deref().unwrap_or_default(), out);
        }
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
