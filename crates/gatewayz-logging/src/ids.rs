//! The ids that tie a line to its span.

use crate::hex::hex_digits;

/// The ids of the span that a line belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanIds {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span.
    pub span_id: [u8; 8],
}

impl SpanIds {
    /// The members of a line from the quote before the trace id to the one before the message.
    pub(crate) fn members(&self) -> [u8; MEMBERS_BYTES] {
        members(&hex_digits(&self.trace_id), &hex_digits(&self.span_id))
    }
}

const MEMBERS: &[u8; MEMBERS_BYTES] =
    b"\",\"trace_id\":\"00000000000000000000000000000000\",\"span_id\":\"0000000000000000\",\"message\":\"";
const MEMBERS_BYTES: usize = 88;
const TRACE_ID_AT: usize = 14;
const SPAN_ID_AT: usize = 59;

/// The same of ids in hexadecimal. In one piece, because each append to a line costs a look at its room.
pub(crate) fn members(trace_id: &[u8; 32], span_id: &[u8; 16]) -> [u8; MEMBERS_BYTES] {
    let mut members = *MEMBERS;
    members[TRACE_ID_AT..TRACE_ID_AT + 32].copy_from_slice(trace_id);
    members[SPAN_ID_AT..SPAN_ID_AT + 16].copy_from_slice(span_id);
    members
}
