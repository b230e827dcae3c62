//! What a test reads of the received spans and requests.

use std::time::Instant;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, span::Event};

pub use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};

/// One span with the resource and scope it came under.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedSpan {
    /// Name of the span.
    pub name: String,
    /// Kind; a number outside the specification reads as `Unspecified`.
    pub kind: SpanKind,
    /// Trace id; zeros when it did not have 16 bytes.
    pub trace_id: [u8; 16],
    /// Span id; zeros when it did not have 8 bytes.
    pub span_id: [u8; 8],
    /// Span id of the parent, `None` for a root span.
    pub parent_span_id: Option<[u8; 8]>,
    /// Start, in nanoseconds since the Unix epoch.
    pub start_unix_nanos: u64,
    /// End, in nanoseconds since the Unix epoch.
    pub end_unix_nanos: u64,
    /// Attributes in the order of the wire, repeated keys included.
    pub attributes: Vec<(String, AnyValue)>,
    /// Attributes the sender says it dropped.
    pub dropped_attributes_count: u32,
    /// Status; `Unset` when there was none.
    pub status: StatusCode,
    /// Message of the status, empty when there was none.
    pub status_message: String,
    /// Trace flags, in the lowest 8 bits, and the remote-parent bits of OTLP above them.
    pub flags: u32,
    /// W3C `tracestate`, empty when there was none.
    pub trace_state: String,
    /// Events in the order of the wire.
    pub events: Vec<ReceivedEvent>,
    /// How many links the span has.
    pub link_count: usize,
    /// Attributes of the resource.
    pub resource_attributes: Vec<(String, AnyValue)>,
    /// Name of the instrumentation scope, empty when there was none.
    pub scope_name: String,
}

/// One event of a span.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedEvent {
    /// Name of the event.
    pub name: String,
    /// Time, in nanoseconds since the Unix epoch.
    pub unix_nanos: u64,
    /// Attributes in the order of the wire.
    pub attributes: Vec<(String, AnyValue)>,
}

/// How a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with a protobuf body.
    Http,
}

/// One export request, whatever it was answered.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    /// How it came in.
    pub transport: Transport,
    /// When its body was complete.
    pub received_at: Instant,
    /// Headers (gRPC: metadata) with lower-case names; values that are not UTF-8 are left out.
    pub headers: Vec<(String, String)>,
    /// The body after decompression.
    pub body: bytes::Bytes,
    /// Spans in the body; 0 when it could not be decoded.
    pub span_count: usize,
}

impl ReceivedSpan {
    /// Value of the first attribute with this key.
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        find(&self.attributes, key)
    }

    /// Text of the first attribute with this key; `None` when there is none or it is not a string.
    pub fn string(&self, key: &str) -> Option<&str> {
        as_string(self.attribute(key)?)
    }

    /// Texts of the first attribute with this key; `None` when there is none or it is no list of strings.
    pub fn strings(&self, key: &str) -> Option<Vec<&str>> {
        let Value::ArrayValue(list) = self.attribute(key)? else {
            return None;
        };
        let values = list.values.iter().map(|value| as_string(value.value.as_ref()?));
        values.collect()
    }

    /// Number of the first attribute with this key; `None` when there is none or it is not an integer.
    pub fn int(&self, key: &str) -> Option<i64> {
        match self.attribute(key)? {
            Value::IntValue(number) => Some(*number),
            _ => None,
        }
    }

    /// Number of the first attribute with this key; `None` when there is none or it is not a double.
    pub fn double(&self, key: &str) -> Option<f64> {
        match self.attribute(key)? {
            Value::DoubleValue(number) => Some(*number),
            _ => None,
        }
    }

    /// Truth of the first attribute with this key; `None` when there is none or it is not a boolean.
    pub fn bool(&self, key: &str) -> Option<bool> {
        match self.attribute(key)? {
            Value::BoolValue(truth) => Some(*truth),
            _ => None,
        }
    }

    /// Text of a resource attribute; `None` when there is none or it is not a string.
    pub fn resource_string(&self, key: &str) -> Option<&str> {
        as_string(find(&self.resource_attributes, key)?)
    }

    /// Trace id in lower-case hexadecimal, as in logs.
    pub fn trace_id_hex(&self) -> String {
        hex(&self.trace_id)
    }

    /// Span id in lower-case hexadecimal, as in logs.
    pub fn span_id_hex(&self) -> String {
        hex(&self.span_id)
    }
}

impl ReceivedRequest {
    /// Value of the first header with this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Every span of a request, each with its resource and scope.
pub(super) fn flatten(request: ExportTraceServiceRequest) -> Vec<ReceivedSpan> {
    let mut spans = Vec::new();
    for resource_spans in request.resource_spans {
        let resource = pairs(resource_spans.resource.unwrap_or_default().attributes);
        for scope_spans in resource_spans.scope_spans {
            let scope_name = scope_spans.scope.unwrap_or_default().name;
            spans.extend(
                scope_spans
                    .spans
                    .into_iter()
                    .map(|span| received(span, &resource, &scope_name)),
            );
        }
    }
    spans
}

fn received(span: Span, resource: &[(String, AnyValue)], scope_name: &str) -> ReceivedSpan {
    let kind = span.kind();
    let status = span.status.unwrap_or_default();
    ReceivedSpan {
        name: span.name,
        kind,
        trace_id: span.trace_id.as_slice().try_into().unwrap_or_default(),
        span_id: span.span_id.as_slice().try_into().unwrap_or_default(),
        parent_span_id: span.parent_span_id.as_slice().try_into().ok(),
        start_unix_nanos: span.start_time_unix_nano,
        end_unix_nanos: span.end_time_unix_nano,
        attributes: pairs(span.attributes),
        dropped_attributes_count: span.dropped_attributes_count,
        status: status.code(),
        status_message: status.message,
        flags: span.flags,
        trace_state: span.trace_state,
        events: span.events.into_iter().map(event).collect(),
        link_count: span.links.len(),
        resource_attributes: resource.to_vec(),
        scope_name: scope_name.to_owned(),
    }
}

fn event(event: Event) -> ReceivedEvent {
    ReceivedEvent {
        name: event.name,
        unix_nanos: event.time_unix_nano,
        attributes: pairs(event.attributes),
    }
}

fn pairs(attributes: Vec<KeyValue>) -> Vec<(String, AnyValue)> {
    attributes
        .into_iter()
        .map(|pair| (pair.key, pair.value.unwrap_or_default()))
        .collect()
}

fn find<'a>(attributes: &'a [(String, AnyValue)], key: &str) -> Option<&'a Value> {
    attributes
        .iter()
        .find(|(name, _)| name == key)
        .and_then(|(_, any)| any.value.as_ref())
}

fn as_string(value: &Value) -> Option<&str> {
    match value {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
