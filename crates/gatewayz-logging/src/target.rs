//! Where an event comes from, as lines show it.

use crate::json::write_escaped;
use crate::known::Known;

/// Longest target that is written, in bytes.
const MAX_BYTES: usize = 256;

/// An event's target.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target<'a> {
    /// Of an event of `tracing`: a text of the program, so it need not be looked at each time.
    OfEvent(&'static str),
    /// Of a record of the `log` crate.
    OfRecord(&'a str),
}

impl Target<'_> {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::OfEvent(text) => text,
            Self::OfRecord(text) => text,
        }
    }

    /// Appends it escaped, with the quote that ends it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        thread_local!(static KNOWN: Known<Vec<u8>> = const { Known::new() });
        match self {
            Self::OfEvent(text) => Known::with(&KNOWN, text, escaped, |known| out.extend_from_slice(known)),
            Self::OfRecord(text) => out.extend_from_slice(&escaped(text)),
        }
    }
}

fn escaped(text: &str) -> Vec<u8> {
    let mut escaped = Vec::new();
    write_escaped(text, MAX_BYTES, &mut escaped);
    escaped.push(b'"');
    escaped
}
