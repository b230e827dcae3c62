//! Spans as OTLP protobuf, written field by field into a buffer (opentelemetry-proto trace/v1/trace.proto).

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use opentelemetry::trace::SpanKind;

use crate::tracer::SpanIdentity;

/// Longest attribute value that is kept, in bytes; Tempo cuts at the same length.
pub(crate) const VALUE_MAX_BYTES: usize = 2048;
/// Most attributes one span keeps.
pub(crate) const ATTRIBUTES_MAX: u32 = 64;

static TRUNCATED: AtomicU64 = AtomicU64::new(0);

const SCOPE_SPANS_SPANS: u8 = 0x12;
const TRACE_ID: u8 = 0x0a;
const SPAN_ID: u8 = 0x12;
const TRACE_STATE: u8 = 0x1a;
const PARENT_SPAN_ID: u8 = 0x22;
const NAME: u8 = 0x2a;
const KIND: u8 = 0x30;
const START_TIME: u8 = 0x39;
const END_TIME: u8 = 0x41;
const ATTRIBUTE: u8 = 0x4a;
const DROPPED_ATTRIBUTES: u8 = 0x50;
const EVENT: u8 = 0x5a;
const STATUS: u8 = 0x7a;
/// Field 16 needs a key of two bytes.
const FLAGS: [u8; 2] = [0x85, 0x01];

/// Flags bit 8: whether the parent is remote is known (trace.proto, `SpanFlags`).
const FLAG_HAS_IS_REMOTE: u32 = 0x100;
/// Flags bit 9: the parent is remote.
const FLAG_IS_REMOTE: u32 = 0x200;

/// The place of a length that is not known yet.
const LENGTH: [u8; 2] = [0, 0];
/// Tag and length of the span; trace id and span id with tag and length; start, end and flags with a tag.
const HEAD_BYTES: usize = 1 + LENGTH.len() + 2 + 16 + 2 + 8 + 2 * (1 + 8) + 2 + 4;

/// A span's status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatusCode {
    /// Nobody said; the normal case.
    Unset,
    /// Somebody said it is fine.
    Ok,
    /// It failed.
    Error,
}

/// Appends one span as an element of `ScopeSpans.spans`; `write_rest` appends name, kind, attributes, status.
pub(crate) fn span(
    identity: &SpanIdentity,
    start_unix_nanos: u64,
    end_unix_nanos: u64,
    out: &mut Vec<u8>,
    write_rest: impl FnOnce(&mut Vec<u8>),
) {
    let body = out.len() + 1 + LENGTH.len();
    let head = head(identity, start_unix_nanos, end_unix_nanos);
    match identity.parent_span_id {
        Some(parent) => {
            let mut with_parent = [0; HEAD_BYTES + 10];
            let (before, field) = with_parent.split_at_mut(HEAD_BYTES);
            before.copy_from_slice(&head);
            field[..2].copy_from_slice(&[PARENT_SPAN_ID, 8]);
            field[2..].copy_from_slice(&parent.to_bytes());
            out.extend_from_slice(&with_parent);
        }
        None => out.extend_from_slice(&head),
    }
    if let Some(state) = &identity.context.state {
        bytes(TRACE_STATE, state.as_str().as_bytes(), out);
    }
    write_rest(out);
    set_length(body, out);
}

/// Ids, times and flags: what every span has, in one piece, because each append costs a look at the buffer's room.
fn head(identity: &SpanIdentity, start_unix_nanos: u64, end_unix_nanos: u64) -> [u8; HEAD_BYTES] {
    let remote = if identity.parent_is_remote {
        FLAG_IS_REMOTE
    } else {
        0
    };
    let flags = u32::from(identity.context.flags.to_u8()) | FLAG_HAS_IS_REMOTE | remote;
    let mut fields = [0; HEAD_BYTES];
    let mut rest = fields.as_mut_slice();
    let mut put = |tag: &[u8], value: &[u8]| {
        let (field, after) = std::mem::take(&mut rest).split_at_mut(tag.len() + value.len());
        let (head, tail) = field.split_at_mut(tag.len());
        head.copy_from_slice(tag);
        tail.copy_from_slice(value);
        rest = after;
    };
    put(&[SCOPE_SPANS_SPANS], &LENGTH);
    put(&[TRACE_ID, 16], &identity.context.trace_id.to_bytes());
    put(&[SPAN_ID, 8], &identity.context.span_id.to_bytes());
    put(&[START_TIME], &start_unix_nanos.to_le_bytes());
    put(&[END_TIME], &end_unix_nanos.to_le_bytes());
    put(&FLAGS, &flags.to_le_bytes());
    fields
}

/// Appends the span's kind and name.
pub(crate) fn kind_and_name(kind: &SpanKind, name: &str, out: &mut Vec<u8>) {
    let kind = match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    };
    let name = cut(name);
    if name.len() < 0x80 {
        out.extend_from_slice(&[KIND, kind, NAME, name.len() as u8]);
        out.extend_from_slice(name.as_bytes());
        return;
    }
    out.extend_from_slice(&[KIND, kind]);
    bytes(NAME, name.as_bytes(), out);
}

/// Appends the span's status; nothing for [`StatusCode::Unset`].
pub(crate) fn status(code: StatusCode, message: &str, out: &mut Vec<u8>) {
    let code = match code {
        StatusCode::Unset => return,
        StatusCode::Ok => 1,
        StatusCode::Error => 2,
    };
    out.push(STATUS);
    length_delimited(out, |out| {
        if !message.is_empty() {
            bytes(0x12, cut(message).as_bytes(), out);
        }
        out.extend_from_slice(&[0x18, code]);
    });
}

/// Appends a text attribute of the span, cut at [`VALUE_MAX_BYTES`].
pub(crate) fn text_attribute(key: &str, value: &str, out: &mut Vec<u8>) {
    let value = cut(value);
    // What is shorter has lengths of one byte each, known beforehand.
    if key.len() + value.len() < 0x80 - 6 {
        let lengths = [key.len() + value.len() + 6, value.len() + 2, value.len()].map(|length| length as u8);
        short_key(key, lengths[0], out);
        out.extend_from_slice(&[0x12, lengths[1], 0x0a, lengths[2]]);
        out.extend_from_slice(value.as_bytes());
        return;
    }
    attribute(ATTRIBUTE, key, out, |out| bytes(0x0a, value.as_bytes(), out));
}

/// Appends an attribute of the span whose value is a list of this one text.
pub(crate) fn list_attribute(key: &str, value: &str, out: &mut Vec<u8>) {
    attribute(ATTRIBUTE, key, out, |out| {
        out.push(0x2a);
        length_delimited(out, |out| {
            out.push(0x0a);
            length_delimited(out, |out| bytes(0x0a, cut(value).as_bytes(), out));
        });
    });
}

/// Appends an integer attribute of the span.
pub(crate) fn integer_attribute(key: &str, value: i64, out: &mut Vec<u8>) {
    let value = value.cast_unsigned();
    if value < 0x80 && key.len() < 0x80 - 6 {
        short_key(key, key.len() as u8 + 6, out);
        out.extend_from_slice(&[0x12, 2, 0x18, value as u8]);
        return;
    }
    attribute(ATTRIBUTE, key, out, |out| {
        out.push(0x18);
        varint(value, out);
    });
}

/// Appends a boolean attribute of the span.
pub(crate) fn flag_attribute(key: &str, value: bool, out: &mut Vec<u8>) {
    scalar_attribute(key, [0x10, u8::from(value)], out);
}

/// Appends a floating point attribute of the span.
pub(crate) fn number_attribute(key: &str, value: f64, out: &mut Vec<u8>) {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    scalar_attribute(key, [0x21, a, b, c, d, e, f, g, h], out);
}

/// Appends an attribute of the span whose value is this encoded `AnyValue`.
fn scalar_attribute<const N: usize>(key: &str, value: [u8; N], out: &mut Vec<u8>) {
    let length = key.len() + N + 4;
    if length < 0x80 {
        short_key(key, length as u8, out);
        out.extend_from_slice(&[0x12, N as u8]);
        out.extend_from_slice(&value);
        return;
    }
    attribute(ATTRIBUTE, key, out, |out| out.extend_from_slice(&value));
}

/// Appends the beginning of an attribute of fewer than 128 bytes.
fn short_key(key: &str, length: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[ATTRIBUTE, length, 0x0a, key.len() as u8]);
    out.extend_from_slice(key.as_bytes());
}

/// Appends how many attributes were left out.
pub(crate) fn dropped_attributes(count: u32, out: &mut Vec<u8>) {
    if count > 0 {
        out.push(DROPPED_ATTRIBUTES);
        varint(u64::from(count), out);
    }
}

/// Appends an event with text attributes.
pub(crate) fn event(name: &str, unix_nanos: u64, attributes: &[(&str, &str)], out: &mut Vec<u8>) {
    out.push(EVENT);
    length_delimited(out, |out| {
        out.push(0x09);
        out.extend_from_slice(&unix_nanos.to_le_bytes());
        bytes(0x12, name.as_bytes(), out);
        for (key, value) in attributes {
            attribute(0x1a, key, out, |out| bytes(0x0a, cut(value).as_bytes(), out));
        }
    });
}

/// Appends one `KeyValue` under the field `tag`.
pub(crate) fn attribute(tag: u8, key: &str, out: &mut Vec<u8>, write_value: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    length_delimited(out, |out| {
        bytes(0x0a, key.as_bytes(), out);
        out.push(0x12);
        length_delimited(out, write_value);
    });
}

/// Appends a length-delimited field.
pub(crate) fn bytes(tag: u8, value: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// Appends what `write` appends, with its length before it.
pub(crate) fn length_delimited(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&LENGTH);
    let body = out.len();
    write(out);
    set_length(body, out);
}

/// Sets the length of what begins at `body` and has [`LENGTH`] before it.
fn set_length(body: usize, out: &mut Vec<u8>) {
    let length = out.len() - body;
    let start = body - LENGTH.len();
    if length < 0x4000 {
        // Two bytes also where one would do, so that nothing has to be moved. Decoders take a varint of up to ten bytes,
        // whatever it needs.
        if let Some(place) = out.get_mut(start..body) {
            place.copy_from_slice(&[(length & 0x7f) as u8 | 0x80, (length >> 7) as u8]);
        }
        return;
    }
    insert_length(length, start..body, out);
}

#[cold]
fn insert_length(length: usize, place: Range<usize>, out: &mut Vec<u8>) {
    let mut bytes = Vec::with_capacity(10);
    varint(length as u64, &mut bytes);
    out.splice(place, bytes);
}

/// Appends a base-128 varint.
pub(crate) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Number of bytes of a varint.
pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Attribute values, names and messages cut so far in this process, and attributes left out.
pub(crate) fn truncated() -> u64 {
    TRUNCATED.load(Relaxed)
}

pub(crate) fn count_truncated() {
    TRUNCATED.fetch_add(1, Relaxed);
}

pub(crate) fn cut(text: &str) -> &str {
    if text.len() <= VALUE_MAX_BYTES {
        return text;
    }
    count_truncated();
    let mut end = VALUE_MAX_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
