//! The protobuf form: `logproto.PushRequest`, field numbers as in Loki's `push.proto`.

use super::Entry;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Tags of length-delimited fields, and of the two numbers of a timestamp.
mod tag {
    pub(super) const PUSH_STREAMS: u8 = 0x0a;
    pub(super) const STREAM_LABELS: u8 = 0x0a;
    pub(super) const STREAM_ENTRIES: u8 = 0x12;
    pub(super) const ENTRY_TIMESTAMP: u8 = 0x0a;
    pub(super) const ENTRY_LINE: u8 = 0x12;
    pub(super) const ENTRY_METADATA: u8 = 0x1a;
    pub(super) const PAIR_NAME: u8 = 0x0a;
    pub(super) const PAIR_VALUE: u8 = 0x12;
    pub(super) const TIMESTAMP_SECONDS: u8 = 0x08;
    pub(super) const TIMESTAMP_NANOS: u8 = 0x10;
}

/// The stream's labels in the notation of a query, as a field.
pub(super) fn head(labels: &[(&str, String)]) -> Vec<u8> {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| {
            let escaped = value.replace('\\', r"\\").replace('"', r#"\""#);
            format!(r#"{name}="{escaped}""#)
        })
        .collect();
    let text = format!("{{{}}}", pairs.join(", "));
    let mut out = Vec::new();
    write_bytes(tag::STREAM_LABELS, text.as_bytes(), &mut out);
    out
}

pub(super) fn write<'a>(streams: impl Iterator<Item = (&'a Vec<u8>, &'a Vec<Entry<'a>>)>, out: &mut Vec<u8>) {
    for (head, entries) in streams {
        let entries_len: usize = entries.iter().map(|entry| field_len(entry_len(entry))).sum();
        out.push(tag::PUSH_STREAMS);
        write_varint((head.len() + entries_len) as u64, out);
        out.extend_from_slice(head);
        for entry in entries {
            write_entry(entry, out);
        }
    }
}

fn write_entry(entry: &Entry<'_>, out: &mut Vec<u8>) {
    out.push(tag::STREAM_ENTRIES);
    write_varint(entry_len(entry) as u64, out);
    let (seconds, nanos) = timestamp(entry);
    out.push(tag::ENTRY_TIMESTAMP);
    write_varint(timestamp_len(entry) as u64, out);
    out.push(tag::TIMESTAMP_SECONDS);
    write_varint(seconds, out);
    out.push(tag::TIMESTAMP_NANOS);
    write_varint(nanos, out);
    write_bytes(tag::ENTRY_LINE, entry.line.as_bytes(), out);
    for (name, digits) in metadata(entry) {
        out.push(tag::ENTRY_METADATA);
        write_varint((field_len(name.len()) + field_len(digits.len())) as u64, out);
        write_bytes(tag::PAIR_NAME, name.as_bytes(), out);
        write_bytes(tag::PAIR_VALUE, digits, out);
    }
}

fn entry_len(entry: &Entry<'_>) -> usize {
    let metadata_len: usize = metadata(entry)
        .map(|(name, digits)| field_len(field_len(name.len()) + field_len(digits.len())))
        .sum();
    field_len(timestamp_len(entry)) + field_len(entry.line.len()) + metadata_len
}

fn metadata<'a>(entry: &'a Entry<'_>) -> impl Iterator<Item = (&'static str, &'a [u8])> {
    let trace_id = entry.trace_id.as_ref().map(|id| ("trace_id", id.as_slice()));
    let span_id = entry.span_id.as_ref().map(|id| ("span_id", id.as_slice()));
    trace_id.into_iter().chain(span_id)
}

fn timestamp(entry: &Entry<'_>) -> (u64, u64) {
    (
        entry.unix_nanos / NANOS_PER_SECOND,
        entry.unix_nanos % NANOS_PER_SECOND,
    )
}

fn timestamp_len(entry: &Entry<'_>) -> usize {
    let (seconds, nanos) = timestamp(entry);
    2 + varint_len(seconds) + varint_len(nanos)
}

fn field_len(content_len: usize) -> usize {
    1 + varint_len(content_len as u64) + content_len
}

fn write_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_len(value: u64) -> usize {
    let bits = (u64::BITS - value.leading_zeros()).max(1);
    bits.div_ceil(7) as usize
}
