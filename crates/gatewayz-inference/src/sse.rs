//! Server-sent events cut out of chunks that are split anywhere; the bytes of each event stay as they came.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// Longest event that is held, and so the longest line.
pub(crate) const MAX_EVENT_BYTES: usize = 8 * 1024 * 1024;

/// An event is longer than [`MAX_EVENT_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// One event with the blank line that ends it. Comments are events without data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) bytes: Bytes,
    data: Option<Range<usize>>,
    further_data: Vec<Range<usize>>,
}

/// Collects chunks and gives events. Ends of lines are LF, CR LF or CR.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// Begins with the event being read.
    buffer: BytesMut,
    /// Everything before is searched for ends of lines.
    searched: usize,
    line_start: usize,
    /// The last line ended with a CR at the end of the buffer; an LF that follows belongs to it.
    after_cr: bool,
    data: Option<Range<usize>>,
    further_data: Vec<Range<usize>>,
}

impl Event {
    /// The data lines, joined by LF; `None` without any.
    pub(crate) fn data(&self) -> Option<Cow<'_, [u8]>> {
        let line = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        let first = line(self.data.as_ref()?);
        if self.further_data.is_empty() {
            return Some(Cow::Borrowed(first));
        }
        let further = self.further_data.iter().map(line);
        let lines: Vec<_> = std::iter::once(first).chain(further).collect();
        Some(Cow::Owned(lines.join(&b'\n')))
    }
}

impl Decoder {
    /// Adds what came.
    pub(crate) fn feed(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next whole event; `None` until more is fed.
    pub(crate) fn next_event(&mut self) -> Result<Option<Event>, TooLong> {
        loop {
            if self.after_cr {
                let Some(next) = self.buffer.get(self.searched) else {
                    return Ok(None);
                };
                if *next == b'\n' {
                    self.searched += 1;
                    self.line_start = self.searched;
                }
                self.after_cr = false;
            }
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            let Some(found) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.searched = self.buffer.len();
                if self.buffer.len() > MAX_EVENT_BYTES {
                    return Err(TooLong);
                }
                return Ok(None);
            };
            let line = self.line_start..self.searched + found;
            let mut end = line.end + 1;
            if self.buffer.get(line.end) == Some(&b'\r') {
                match self.buffer.get(end) {
                    Some(b'\n') => end += 1,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            self.searched = end;
            self.line_start = end;
            if line.is_empty() {
                return Ok(Some(self.cut(end)));
            }
            self.read_line(line);
        }
    }

    /// What stands at the end without a blank line; `None` when nothing does.
    pub(crate) fn finish(&mut self) -> Result<Option<Event>, TooLong> {
        if self.buffer.is_empty() {
            return Ok(None);
        }
        self.feed(b"\n\n");
        self.next_event()
    }

    fn read_line(&mut self, line: Range<usize>) {
        let bytes = self.buffer.get(line.clone()).unwrap_or_default();
        let Some(value) = bytes.strip_prefix(b"data:") else {
            return;
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let range = line.end - value.len()..line.end;
        if self.data.is_none() {
            self.data = Some(range);
        } else {
            self.further_data.push(range);
        }
    }

    fn cut(&mut self, end: usize) -> Event {
        self.searched = 0;
        self.line_start = 0;
        Event {
            bytes: self.buffer.split_to(end).freeze(),
            data: self.data.take(),
            further_data: std::mem::take(&mut self.further_data),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(chunks: &[&[u8]]) -> Vec<Event> {
        let mut decoder = Decoder::default();
        let mut events = Vec::new();
        for chunk in chunks {
            decoder.feed(chunk);
            while let Some(event) = decoder.next_event().unwrap() {
                events.push(event);
            }
        }
        events.extend(decoder.finish().unwrap());
        events
    }

    fn data(chunks: &[&[u8]]) -> Vec<String> {
        let events = events(chunks);
        let data = events.iter().filter_map(Event::data);
        data.map(|data| String::from_utf8(data.into_owned()).unwrap())
            .collect()
    }

    const STREAM: &str =
        ": hello\n\ndata: {\"a\":\"é😀\"}\r\n\r\nevent: x\rdata:one\rdata: two\r\rid: 7\n\ndata:  [DONE]\n\n";

    #[test]
    fn every_end_of_line_ends_an_event() {
        assert_eq!(
            data(&[STREAM.as_bytes()]),
            ["{\"a\":\"é😀\"}", "one\ntwo", " [DONE]"]
        );
    }

    #[test]
    fn an_event_may_be_split_at_every_byte() {
        let whole = events(&[STREAM.as_bytes()]);
        let whole_bytes: Vec<u8> = whole.iter().flat_map(|event| event.bytes.to_vec()).collect();
        assert_eq!(whole_bytes, STREAM.as_bytes());

        for split in 0..STREAM.len() {
            let (one, two) = STREAM.as_bytes().split_at(split);
            assert_eq!(data(&[one, two]), data(&[STREAM.as_bytes()]), "split at {split}");
        }
        let single: Vec<&[u8]> = STREAM.as_bytes().chunks(1).collect();
        assert_eq!(data(&single), data(&[STREAM.as_bytes()]));
    }

    #[test]
    fn a_carriage_return_at_the_end_of_a_chunk_ends_the_event_at_once() {
        let mut decoder = Decoder::default();

        decoder.feed(b"data: a\r\r");
        assert!(decoder.next_event().unwrap().is_some());

        decoder.feed(b"\ndata: b\n\n");
        let event = decoder.next_event().unwrap().unwrap();
        assert_eq!(event.data().unwrap(), b"b".as_slice());
    }

    #[test]
    fn an_end_without_a_blank_line_still_gives_its_event() {
        assert_eq!(data(&[b"data: a\n\ndata: [DONE]"]), ["a", "[DONE]"]);
    }

    #[test]
    fn a_line_that_never_ends_is_refused() {
        let mut decoder = Decoder::default();
        let chunk = vec![b'x'; 1024 * 1024];

        let fed = (1..=16).find(|_| {
            decoder.feed(&chunk);
            decoder.next_event() == Err(TooLong)
        });

        assert_eq!(fed, Some(9));
    }

    #[test]
    fn an_event_of_endless_lines_is_refused() {
        let mut decoder = Decoder::default();
        let chunk = b"data: x\n".repeat(128 * 1024);

        let fed = (1..=16).find(|_| {
            decoder.feed(&chunk);
            decoder.next_event() == Err(TooLong)
        });

        assert_eq!(fed, Some(9));
    }

    proptest! {
        #[test]
        fn chunks_do_not_change_events(
            bytes in proptest::collection::vec(prop_oneof![
                Just(b'\n'), Just(b'\r'), Just(b'd'), Just(b'a'), Just(b't'), Just(b':'), Just(b' '), any::<u8>(),
            ], 0..60),
            lines in proptest::collection::vec("(data:|data: |: |event:|)[a-c]{0,3}(\n|\r|\r\n){1,2}", 0..10),
            cuts in proptest::collection::vec(0_usize..200, 0..10),
        ) {
            let mut stream = lines.concat().into_bytes();
            stream.extend(bytes);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();

            let read = |chunks: &[&[u8]]| -> Vec<Vec<u8>> {
                events(chunks).iter().filter_map(|event| event.data().map(Cow::into_owned)).collect()
            };
            prop_assert_eq!(read(&chunks), read(&[&stream]));
            let bytes: Vec<u8> = events(&chunks).iter().flat_map(|event| event.bytes.to_vec()).collect();
            prop_assert!(bytes.starts_with(&stream));
        }
    }
}
