//! Finds the usage in a stream of events that pass by.

use std::hint::black_box;

use memchr::memmem;
use serde_json::Value;

/// What is known of a stream so far.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// The start of a line whose end has not come.
    begun: Vec<u8>,
    /// Tokens of the last usage.
    tokens: Option<u64>,
}

impl Scan {
    /// Looks at the next bytes of the stream, wherever they were cut.
    pub(crate) fn take(&mut self, chunk: &[u8]) {
        let lines = memchr::memrchr(b'\n', chunk).map_or(0, |end| end + 1);
        let (whole, begun) = chunk.split_at(lines);
        if whole.is_empty() || self.begun.is_empty() {
            self.look(whole);
        } else {
            self.begun.extend_from_slice(whole);
            let joined = std::mem::take(&mut self.begun);
            self.look(&joined);
        }
        self.begun.extend_from_slice(begun);
    }

    fn look(&mut self, lines: &[u8]) {
        let Some(found) = memmem::find(lines, b"\"usage\":{") else {
            return;
        };
        let (before, after) = lines.split_at(found);
        let start = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
        let end = memchr::memchr(b'\n', after).map_or(lines.len(), |end| found + end);
        let line = lines.get(start..end).unwrap_or_default();
        let event: Option<Value> = line
            .strip_prefix(b"data: ")
            .and_then(|event| serde_json::from_slice(event).ok());
        self.tokens = event.and_then(|event| event.pointer("/usage/total_tokens")?.as_u64());
        // Nobody asks for it, and it must be looked for all the same.
        black_box(self.tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::Scan;

    #[test]
    fn usage_is_found_wherever_the_stream_is_cut() {
        let stream = b"data: {\"usage\":null}\n\ndata: {\"usage\":{\"total_tokens\":61}}\n\ndata: [DONE]\n\n";
        for cut in 0..stream.len() {
            let (first, second) = stream.split_at(cut);
            let mut scan = Scan::default();

            scan.take(first);
            scan.take(second);

            assert_eq!(scan.tokens, Some(61), "{cut}");
        }
    }
}
