//! A batch as the body of one push: a stream for each level, entries in order of time.

mod json;
mod protobuf;

use std::borrow::Cow;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use gatewayz_delivery::Batch;

use crate::record::{self, Level};
use crate::{StreamLabels, Wire};

/// Longest line that Loki takes by default (`max_line_size`), in bytes.
const LINE_MAX_BYTES: usize = 256 * 1024;
/// Ends a line that was cut to [`LINE_MAX_BYTES`].
const CUT_MARK: &str = " [cut]";
/// Longest label value that Loki takes by default (`max_label_value_length`), in bytes.
const LABEL_VALUE_MAX_BYTES: usize = 2048;
/// Loki answers 500 for ever to a push that is more than 4 MiB decoded.
const BODY_MAX_BYTES: usize = 3_584 * 1024;
/// What Loki adds to an entry when it decodes it: `detected_level` as structured metadata.
const ADDED_ENTRY_BYTES: usize = 32;

/// A push, ready to be sent.
pub(crate) struct Push {
    pub(crate) body: Vec<u8>,
    /// Records that were not written by [`record::write`] and are not in the body.
    pub(crate) malformed: usize,
}

/// Why a batch has no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EncodeError {
    /// Decoded, it would pass what Loki can take in one push.
    TooLarge,
    /// It holds no record that [`record::write`] has written.
    Malformed,
}

/// One line of a stream.
struct Entry<'a> {
    unix_nanos: u64,
    trace_id: Option<[u8; 32]>,
    span_id: Option<[u8; 16]>,
    line: Cow<'a, str>,
}

/// Turns batches into bodies. The same batch gives the same bytes.
pub(crate) struct Encoder {
    wire: Wire,
    /// What opens the stream of each level, in the order of [`Level::ALL`].
    heads: Vec<Vec<u8>>,
    decoded: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new(wire: Wire, labels: &StreamLabels) -> Self {
        let heads = Level::ALL
            .into_iter()
            .map(|level| {
                let pairs: Vec<(&str, String)> = [
                    ("app", labels.app.as_str()),
                    ("environment", &labels.environment),
                    ("level", level.as_str()),
                    ("service", &labels.service),
                ]
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| (name, label_value(value)))
                .collect();
                match wire {
                    Wire::Json => json::head(&pairs),
                    Wire::Protobuf => protobuf::head(&pairs),
                }
            })
            .collect();
        Self {
            wire,
            heads,
            decoded: Vec::new(),
        }
    }

    /// What `Content-Type` and `Content-Encoding` say of a body; no encoding where the type implies it.
    pub(crate) fn media(&self) -> (&'static str, Option<&'static str>) {
        match self.wire {
            Wire::Json => ("application/json", Some("gzip")),
            Wire::Protobuf => ("application/x-protobuf", None),
        }
    }

    pub(crate) fn encode(&mut self, batch: &Batch) -> Result<Push, EncodeError> {
        let mut streams: [Vec<Entry<'_>>; Level::ALL.len()] = Default::default();
        let mut malformed = 0;
        for bytes in batch.records() {
            let Some(record) = record::read(bytes) else {
                malformed += 1;
                continue;
            };
            if let Some(stream) = streams.get_mut(record.level as usize) {
                stream.push(Entry {
                    unix_nanos: record.unix_nanos,
                    trace_id: record.trace_id.map(hex),
                    span_id: record.span_id.map(hex),
                    line: line_text(record.line),
                });
            }
        }
        if malformed == batch.len() {
            return Err(EncodeError::Malformed);
        }
        for stream in &mut streams {
            // Records come in order from each thread, not over all of them.
            stream.sort_by_key(|entry| entry.unix_nanos);
        }

        let filled = self
            .heads
            .iter()
            .zip(&streams)
            .filter(|(_, entries)| !entries.is_empty());
        self.decoded.clear();
        match self.wire {
            Wire::Json => json::write(filled, &mut self.decoded),
            Wire::Protobuf => protobuf::write(filled, &mut self.decoded),
        }
        if self.decoded.len() + batch.len() * ADDED_ENTRY_BYTES > BODY_MAX_BYTES {
            return Err(EncodeError::TooLarge);
        }
        let body = match self.wire {
            Wire::Json => gzip(&self.decoded),
            Wire::Protobuf => snap::raw::Encoder::new()
                .compress_vec(&self.decoded)
                .map_err(|_| EncodeError::TooLarge)?,
        };
        Ok(Push { body, malformed })
    }
}

/// The line as Loki can take it: UTF-8, bytes that are not replaced by U+FFFD, at most [`LINE_MAX_BYTES`].
fn line_text(line: &[u8]) -> Cow<'_, str> {
    // Checking first takes a tenth of the time of a replacement that finds nothing.
    let mut text = match str::from_utf8(line) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(line),
    };
    if text.len() > LINE_MAX_BYTES {
        let whole = cut(&text, LINE_MAX_BYTES - CUT_MARK.len()).len();
        text.to_mut().truncate(whole);
        text.to_mut().push_str(CUT_MARK);
    }
    text
}

fn label_value(value: &str) -> String {
    cut(value, LABEL_VALUE_MAX_BYTES).replace(char::is_control, " ")
}

/// The longest start of `text` that is whole characters and at most `max_bytes`.
fn cut(text: &str, max_bytes: usize) -> &str {
    let end = (0..=max_bytes.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

fn hex<const BYTES: usize, const DIGITS: usize>(id: &[u8; BYTES]) -> [u8; DIGITS] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'0'; DIGITS];
    for (digits, byte) in text.chunks_exact_mut(2).zip(id) {
        digits.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
    text
}

fn gzip(decoded: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(decoded.len() / 8), Compression::fast());
    // Writing into memory cannot fail.
    let _ = encoder.write_all(decoded);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> StreamLabels {
        StreamLabels {
            service: "gatewayz-api".to_owned(),
            app: "gatewayz".to_owned(),
            environment: "local".to_owned(),
        }
    }

    fn record(line: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        record::write(1_766_000_000_000_000_000, "INFO", None, None, line, &mut out);
        out
    }

    #[test]
    fn a_batch_gives_the_same_bytes_each_time() {
        let records = [record(b"one"), record(b"two"), record(b"\xff")];
        let batch = Batch::from_records(records.iter().map(Vec::as_slice));

        for wire in [Wire::Json, Wire::Protobuf] {
            let mut encoder = Encoder::new(wire, &labels());
            let first = encoder.encode(&batch).unwrap().body;
            let again = encoder.encode(&batch).unwrap().body;
            assert_eq!(first, again);
        }
    }

    #[test]
    fn a_batch_that_loki_could_not_decode_is_too_large() {
        let records: Vec<Vec<u8>> = (0..20).map(|_| record(&[0xff; 100 * 1024])).collect();
        let batch = Batch::from_records(records.iter().map(Vec::as_slice));

        let encoded = Encoder::new(Wire::Protobuf, &labels()).encode(&batch);

        assert_eq!(encoded.err(), Some(EncodeError::TooLarge));
    }

    #[test]
    fn a_line_too_long_for_loki_is_cut_at_a_character_and_marked() {
        let line = "ü".repeat(LINE_MAX_BYTES);

        let text = line_text(line.as_bytes());

        assert!(text.len() <= LINE_MAX_BYTES && text.len() > LINE_MAX_BYTES - 16);
        assert!(text.ends_with("ü [cut]"));
    }

    #[test]
    fn a_record_of_somebody_else_is_counted_and_its_neighbours_are_pushed() {
        let good = record(b"good");
        let batch = Batch::from_records([b"\x0f".as_slice(), &good]);

        let push = Encoder::new(Wire::Json, &labels()).encode(&batch).unwrap();
        let none = Encoder::new(Wire::Json, &labels()).encode(&Batch::from_records([b"".as_slice()]));

        assert_eq!(push.malformed, 1);
        assert_eq!(none.err(), Some(EncodeError::Malformed));
    }
}
