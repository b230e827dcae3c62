//! The `traceparent` value: a strict reader and a writer.

use opentelemetry::trace::{SpanId, TraceFlags, TraceId};

use super::TRACEPARENT_BYTES;
use crate::id::{hex_pair, write_pairs};

/// Reads a value without surrounding whitespace; `None` when it breaks the format.
///
/// Version 00 is exactly 55 characters. A later version may go on after a dash ("Versioning of
/// traceparent"). Flags other than sampled and random come back as zero ("Other Flags").
pub(super) fn parse(header: &[u8]) -> Option<(TraceId, SpanId, TraceFlags)> {
    let (fields, rest) = header.split_first_chunk::<TRACEPARENT_BYTES>()?;
    if [fields[2], fields[35], fields[52]] != *b"---" {
        return None;
    }
    let [version] = decode::<1>(&fields[0..2])?;
    let trace_id = decode::<16>(&fields[3..35]).map(TraceId::from_bytes)?;
    let span_id = decode::<8>(&fields[36..52]).map(SpanId::from_bytes)?;
    let [flags] = decode::<1>(&fields[53..55])?;

    let length_fits = match version {
        0x00 => rest.is_empty(),
        0xff => false,
        0x01..=0xfe => matches!(rest, [] | [b'-', ..]),
    };
    let ids_are_set = trace_id != TraceId::INVALID && span_id != SpanId::INVALID;
    (length_fits && ids_are_set).then_some((trace_id, span_id, TraceFlags::new(flags) & KNOWN_FLAGS))
}

/// Writes version 00.
pub(super) fn render(trace_id: TraceId, span_id: SpanId, flags: TraceFlags) -> [u8; TRACEPARENT_BYTES] {
    let mut header = [b'-'; TRACEPARENT_BYTES];
    header[0..2].copy_from_slice(b"00");
    write_pairs(&trace_id.to_bytes(), &mut header[3..35]);
    write_pairs(&span_id.to_bytes(), &mut header[36..52]);
    header[53..55].copy_from_slice(&hex_pair((flags & KNOWN_FLAGS).to_u8()));
    header
}

const KNOWN_FLAGS: TraceFlags = TraceFlags::new(0b11);

const NOT_A_DIGIT: u8 = 0xff;

const DIGIT_VALUES: [u8; 256] = {
    let digits = *b"0123456789abcdef";
    let mut values = [NOT_A_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[digits[value as usize] as usize] = value;
        value += 1;
    }
    values
};

/// Reads exactly `2 * N` lower-case hex digits.
fn decode<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != N {
        return None;
    }
    let mut bytes = [0; N];
    let mut seen = 0;
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let (high, low) = (DIGIT_VALUES[usize::from(*high)], DIGIT_VALUES[usize::from(*low)]);
        seen |= high | low;
        *byte = high << 4 | low;
    }
    (seen < 16).then_some(bytes)
}
