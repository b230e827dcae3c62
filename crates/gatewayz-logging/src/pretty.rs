//! Lines for a person at a terminal; escaped like the JSON ones, so input cannot steer the terminal.

use crate::clock::write_timestamp;
use crate::hex::hex_digits;
use crate::json::write_escaped;
use crate::line::{EventLine, PreparedRequestLine, RequestLine, write_millis};

const ENDPOINT_MAX_BYTES: usize = 512;

/// Appends `12:00:00.000Z  INFO GET /api/users/1 200 0.123 ms trace_id=…` with a line feed.
pub(crate) fn write_request(
    prepared: &PreparedRequestLine,
    method: &str,
    status_code: u16,
    request: &RequestLine<'_>,
    out: &mut Vec<u8>,
) {
    write_head(request.unix_nanos, prepared.level, out);
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    write_escaped(request.endpoint.path(), ENDPOINT_MAX_BYTES, out);
    out.push(b' ');
    out.extend_from_slice(itoa::Buffer::new().format(status_code).as_bytes());
    out.push(b' ');
    write_millis(request.duration_nanos, out);
    out.extend_from_slice(b" ms trace_id=");
    out.extend_from_slice(request.trace_id);
    if let Some((kind, text)) = request.exception {
        out.push(b' ');
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b": ");
        write_escaped(text, ENDPOINT_MAX_BYTES, out);
    }
    out.push(b'\n');
}

/// Appends `12:00:00.000Z  WARN target: message,"field":value` with a line feed.
pub(crate) fn write_event(event: &EventLine<'_>, out: &mut Vec<u8>) {
    write_head(event.unix_nanos, event.level, out);
    write_escaped(event.target.text(), ENDPOINT_MAX_BYTES, out);
    out.extend_from_slice(b": ");
    out.extend_from_slice(&event.fields.message);
    if let Some((_, members)) = event.fields.members.split_first() {
        out.extend_from_slice(b" {");
        out.extend_from_slice(members);
        out.push(b'}');
    }
    if let Some(ids) = &event.facts.ids {
        out.extend_from_slice(b" trace_id=");
        out.extend_from_slice(&hex_digits::<16, 32>(&ids.trace_id));
    }
    out.push(b'\n');
}

fn write_head(unix_nanos: u64, level: tracing::Level, out: &mut Vec<u8>) {
    let start = out.len();
    write_timestamp(unix_nanos, out);
    // The date is of no use at a terminal.
    out.drain(start..start + "2026-11-22T".len());
    let name = level.as_str().as_bytes();
    out.extend_from_slice(if name.len() == 4 { b"  " } else { b" " });
    out.extend_from_slice(name);
    out.push(b' ');
}
