//! Walks over protobuf messages without decoding them.

use bytes::{Buf, Bytes};
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// Visits each message in the field with this number.
pub(crate) fn each_message(
    mut message: Bytes,
    field: u32,
    visit: &mut dyn FnMut(Bytes) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    while message.has_remaining() {
        let (tag, wire_type) = decode_key(&mut message)?;
        if tag != field || wire_type != WireType::LengthDelimited {
            skip_field(wire_type, tag, &mut message, DecodeContext::default())?;
            continue;
        }
        let mut ahead = message.clone();
        let length = usize::try_from(decode_varint(&mut ahead)?).unwrap_or(usize::MAX);
        if length > ahead.remaining() {
            // Skipping what is cut off gives the error that belongs to it.
            skip_field(wire_type, tag, &mut message, DecodeContext::default())?;
            continue;
        }
        visit(ahead.split_to(length))?;
        message = ahead;
    }
    Ok(())
}
