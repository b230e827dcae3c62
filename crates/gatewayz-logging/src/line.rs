//! One JSON object a line: keys in a fixed order, constant parts prepared once.

use std::sync::Arc;

use tracing::Level;

use crate::clock::write_line_start;
use crate::endpoint::{ENDPOINT_MAX_CHARS, Endpoint};
use crate::fields::{CLOSING_BYTES, Fields};
use crate::ids;
use crate::json::write_escaped;
use crate::layer::{RequestFacts, SpanFacts};
use crate::target::Target;

/// What a line takes beside its fields and endpoint, generously.
const FRAME_BYTES: usize = 1024;
/// The longest line of a request, whatever is asked for: path and texts escaped to six times their length, the fields of
/// [`Members`](crate::Members) and what failed it.
pub const REQUEST_LINE_MAX_BYTES: usize = 12 * 1024;

// Each ends the value before it.
const ENDPOINT: &[u8] = b"\",\"endpoint\":\"";
const METHOD: &[u8] = b"\",\"method\":\"";
const ENVIRONMENT: &[u8] = b"\",\"environment\":\"";
const ROUTE: &[u8] = b"\",\"route\":\"";
const TARGET: &[u8] = b"\",\"target\":\"";

/// In the order of [`level_index`].
const LEVELS: [Level; 5] = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];

/// How lines on stdout look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object in the service's schema.
    Json,
    /// One JSON object as bunyan's tools read it.
    Bunyan,
    /// Text for a terminal.
    Pretty,
}

/// What is the same on every line.
#[derive(Debug, Clone)]
pub struct LineSettings {
    /// Value of `service`.
    pub service: String,
    /// Value of `environment`.
    pub environment: String,
    /// Longest line with its line feed, in bytes; at least [`REQUEST_LINE_MAX_BYTES`] is used.
    pub line_max_bytes: usize,
}

/// Writes lines in the service's schema.
#[derive(Debug, Clone)]
pub struct LineEncoder {
    service: Vec<u8>,
    environment: Vec<u8>,
    /// What an event's line has after its timestamp, for each level.
    event_heads: [Vec<u8>; 5],
    /// The same inside a request, up to the endpoint.
    request_event_heads: [Vec<u8>; 5],
    /// What an event's line has between its message and its target, outside of requests.
    after_message: Vec<u8>,
    line_max_bytes: usize,
}

/// Everything on a request's line that is known from its route, method and status.
#[derive(Debug)]
pub struct PreparedRequestLine {
    before_endpoint: Box<[u8]>,
    after_endpoint: Box<[u8]>,
    end: Box<[u8]>,
    /// Level of the line: INFO below 400, WARN below 500, else ERROR.
    pub level: Level,
    /// The line's message.
    pub message: &'static str,
}

/// Everything on the line of an event inside a request that is known from the request's route and method. Clones share
/// it.
#[derive(Debug, Clone)]
pub struct PreparedEventLine(Arc<EventParts>);

#[derive(Debug)]
struct EventParts {
    after_endpoint: Box<[u8]>,
    after_message: Box<[u8]>,
}

/// What a finished request adds to its prepared line.
#[derive(Debug, Clone, Copy)]
pub struct RequestLine<'a> {
    /// When the request ended.
    pub unix_nanos: u64,
    /// How long it took.
    pub duration_nanos: u64,
    /// The request's path without query.
    pub endpoint: &'a Endpoint,
    /// The trace, in lower-case hexadecimal.
    pub trace_id: &'a [u8; 32],
    /// The server span, in lower-case hexadecimal.
    pub span_id: &'a [u8; 16],
    /// Type and text of what failed the request; `None` when nothing was thrown.
    pub exception: Option<(&'static str, &'a str)>,
    /// What the handler adds, from [`Members`](crate::Members); `None` when it adds nothing.
    pub fields: Option<&'a [u8]>,
}

impl LineEncoder {
    /// Prepares the constant parts.
    #[must_use]
    pub fn new(settings: &LineSettings) -> Self {
        let escaped = |text: &str| {
            let mut out = Vec::new();
            write_escaped(text, FRAME_BYTES / 4, &mut out);
            out
        };
        let service = escaped(&settings.service);
        let environment = escaped(&settings.environment);
        let event_head = |level: Level| {
            let level = level.as_str().as_bytes();
            [b"\",\"level\":\"", level, b"\",\"service\":\"", &service].concat()
        };
        let event_heads = LEVELS.map(event_head);
        Self {
            request_event_heads: event_heads
                .clone()
                .map(|head| [head.as_slice(), ENDPOINT].concat()),
            event_heads,
            after_message: [ENVIRONMENT, &environment, TARGET].concat(),
            service,
            environment,
            line_max_bytes: settings.line_max_bytes.max(REQUEST_LINE_MAX_BYTES),
        }
    }

    /// Prepares the line of requests of one route, method and status; `route` is `None` for unmatched paths.
    #[must_use]
    pub fn prepare_request(
        &self,
        method: &str,
        status_code: u16,
        route: Option<&str>,
    ) -> PreparedRequestLine {
        let (level, message) = match status_code {
            499 => (Level::WARN, "Client closed the request"),
            500.. => (Level::ERROR, "Request failed"),
            400.. => (Level::WARN, "Request refused"),
            0..400 => (Level::INFO, "Request completed"),
        };
        let mut before_endpoint = b"\",\"level\":\"".to_vec();
        before_endpoint.extend_from_slice(level.as_str().as_bytes());
        before_endpoint.extend_from_slice(b"\",\"service\":\"");
        before_endpoint.extend_from_slice(&self.service);
        before_endpoint.extend_from_slice(ENDPOINT);
        let mut after_endpoint = METHOD.to_vec();
        write_escaped(method, FRAME_BYTES / 4, &mut after_endpoint);
        after_endpoint.extend_from_slice(b"\",\"status_code\":");
        after_endpoint.extend_from_slice(itoa::Buffer::new().format(status_code).as_bytes());
        after_endpoint.extend_from_slice(b",\"duration_ms\":");
        let mut end = message.as_bytes().to_vec();
        end.extend_from_slice(ENVIRONMENT);
        end.extend_from_slice(&self.environment);
        if let Some(route) = route {
            end.extend_from_slice(ROUTE);
            write_escaped(route, FRAME_BYTES, &mut end);
        }
        end.extend_from_slice(TARGET);
        end.extend_from_slice(b"gatewayz::request\"");
        PreparedRequestLine {
            before_endpoint: before_endpoint.into(),
            after_endpoint: after_endpoint.into(),
            end: end.into(),
            level,
            message,
        }
    }

    /// Prepares the lines of events inside requests of one route and method; `route` is `None` for unmatched paths.
    #[must_use]
    pub fn prepare_event(&self, method: &str, route: Option<&str>) -> PreparedEventLine {
        let mut after_endpoint = METHOD.to_vec();
        write_escaped(method, FRAME_BYTES / 4, &mut after_endpoint);
        let mut after_message = [ENVIRONMENT, &self.environment].concat();
        if let Some(route) = route {
            after_message.extend_from_slice(ROUTE);
            write_escaped(route, FRAME_BYTES, &mut after_message);
        }
        after_message.extend_from_slice(TARGET);
        PreparedEventLine(Arc::new(EventParts {
            after_endpoint: after_endpoint.into(),
            after_message: after_message.into(),
        }))
    }

    /// Appends one request's line with its line feed.
    pub fn write_request(
        &self,
        prepared: &PreparedRequestLine,
        request: &RequestLine<'_>,
        out: &mut Vec<u8>,
    ) {
        write_line_start(request.unix_nanos, out);
        out.extend_from_slice(&prepared.before_endpoint);
        request.endpoint.write(out);
        out.extend_from_slice(&prepared.after_endpoint);
        write_millis(request.duration_nanos, out);
        // A number has no quote at its end.
        out.extend_from_slice(&ids::members(request.trace_id, request.span_id)[1..]);
        out.extend_from_slice(&prepared.end);
        if let Some(fields) = request.fields {
            out.extend_from_slice(fields);
        }
        if let Some((kind, text)) = request.exception {
            out.extend_from_slice(b",\"exception_type\":\"");
            out.extend_from_slice(kind.as_bytes());
            out.extend_from_slice(b"\",\"exception_message\":\"");
            write_escaped(text, FRAME_BYTES, out);
            out.push(b'"');
        }
        out.extend_from_slice(b"}\n");
    }

    /// Appends one event's line with its line feed.
    pub(crate) fn write_event(&self, event: &EventLine<'_>, out: &mut Vec<u8>) {
        write_line_start(event.unix_nanos, out);
        let level = level_index(event.level);
        let after_message = match &event.facts.request {
            Some(RequestFacts { endpoint, prepared }) => {
                out.extend_from_slice(&self.request_event_heads[level]);
                endpoint.write(out);
                out.extend_from_slice(&prepared.0.after_endpoint);
                &*prepared.0.after_message
            }
            None => {
                out.extend_from_slice(&self.event_heads[level]);
                &*self.after_message
            }
        };
        match &event.facts.ids {
            Some(ids) => out.extend_from_slice(&ids.members()),
            None => out.extend_from_slice(b"\",\"message\":\""),
        }
        out.extend_from_slice(&event.fields.message);
        out.extend_from_slice(after_message);
        event.target.write(out);
        out.extend_from_slice(&event.fields.members);
        if event.suppressed > 0 {
            out.extend_from_slice(b",\"suppressed\":");
            out.extend_from_slice(itoa::Buffer::new().format(event.suppressed).as_bytes());
        }
        if event.fields.truncated > 0 {
            out.extend_from_slice(b",\"truncated\":true");
        }
        out.extend_from_slice(b"}\n");
    }

    /// Most bytes of an event's fields and message: what the line's frame leaves.
    pub(crate) fn fields_max_bytes(&self) -> usize {
        let frame = FRAME_BYTES + 6 * ENDPOINT_MAX_CHARS + CLOSING_BYTES;
        self.line_max_bytes.saturating_sub(frame).max(FRAME_BYTES)
    }
}

/// What one event's line is made of.
pub(crate) struct EventLine<'a> {
    pub(crate) unix_nanos: u64,
    pub(crate) level: Level,
    pub(crate) target: Target<'a>,
    pub(crate) facts: &'a SpanFacts,
    pub(crate) fields: &'a Fields,
    /// Events of the same callsite that were left out before this one.
    pub(crate) suppressed: u32,
}

/// Appends milliseconds with three digits after the point.
pub(crate) fn write_millis(nanos: u64, out: &mut Vec<u8>) {
    let micros = nanos / 1_000;
    out.extend_from_slice(itoa::Buffer::new().format(micros / 1_000).as_bytes());
    let rest = (micros % 1_000) as u16;
    let digit = |value: u16| b'0' + (value % 10) as u8;
    out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
}

/// Place of a level in a list of all five.
pub(crate) fn level_index(level: Level) -> usize {
    match level {
        Level::ERROR => 0,
        Level::WARN => 1,
        Level::INFO => 2,
        Level::DEBUG => 3,
        Level::TRACE => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::Members;

    #[test]
    fn the_longest_line_of_a_request_is_within_its_bound() {
        let escaped_six_times = "\u{1}".repeat(100_000);
        let encoder = LineEncoder::new(&LineSettings {
            service: escaped_six_times.clone(),
            environment: escaped_six_times.clone(),
            line_max_bytes: 0,
        });
        let prepared = encoder.prepare_request(&escaped_six_times, 500, Some(&escaped_six_times));
        let mut fields = Members::default();
        for _ in 0..1_000 {
            fields.text("field", &escaped_six_times);
        }
        let fields = fields.into_bytes();
        let request = RequestLine {
            unix_nanos: u64::MAX,
            duration_nanos: u64::MAX,
            endpoint: &Endpoint::new(&escaped_six_times),
            trace_id: &[b'f'; 32],
            span_id: &[b'f'; 16],
            exception: Some(("panic", &escaped_six_times)),
            fields: Some(&fields),
        };
        let mut line = Vec::new();

        encoder.write_request(&prepared, &request, &mut line);

        assert!(line.len() <= REQUEST_LINE_MAX_BYTES, "{}", line.len());
        assert!(line.len() > REQUEST_LINE_MAX_BYTES / 2, "{}", line.len());
    }
}
