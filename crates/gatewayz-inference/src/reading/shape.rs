//! Events that differ from the one before in their texts only. Most of a stream is such events, and reading each as
//! JSON would be most of its cost.

use std::ops::Range;

use super::chunk::Chunk;
use super::loose::Text;

/// Longer events are not remembered.
const MAX_EVENT_BYTES: usize = 2048;

/// An event that was read as JSON, and where its texts are: the output, then what stands beside it as padding.
///
/// An event with the same bytes around other texts without escapes is the same JSON with other strings in it, so
/// whatever was found out about the first holds for the second.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    event: Vec<u8>,
    output: Range<usize>,
    padding: Option<Range<usize>>,
}

impl Shape {
    /// Remembers an event whose one output is a text and that says nothing else of interest; keeps the last one that
    /// did otherwise.
    pub(super) fn learn(&mut self, event: &[u8], chunk: &Chunk<'_>) {
        let Some([choice]) = chunk.choices.as_deref() else {
            return;
        };
        let (None, None, Some(delta)) = (&chunk.usage, &choice.finish_reason, &choice.delta) else {
            return;
        };
        let (1, Some(output)) = (delta.filled, delta.text) else {
            return;
        };
        let Some(output) = place(output, event).filter(|_| event.len() <= MAX_EVENT_BYTES) else {
            return;
        };
        let padding = chunk
            .obfuscation
            .as_ref()
            .and_then(|Text(text)| place(text, event));
        self.padding = padding.filter(|padding| padding.start > output.end);
        self.output = output;
        self.event.clear();
        self.event.extend_from_slice(event);
    }

    /// Whether there is output in an event of this shape; `None` for any other, which has to be read.
    pub(super) fn output_in(&self, event: &[u8]) -> Option<bool> {
        let (output, rest) = self.text(0, &self.output, event)?;
        let (rest, end) = match &self.padding {
            Some(padding) => (self.text(self.output.end, padding, rest)?.1, padding.end),
            None => (rest, self.output.end),
        };
        (rest == self.event.get(end..)?).then_some(!output.is_empty())
    }

    /// The text that stands in `event` where `place` is in the remembered one, and what comes after it; `from` is
    /// where both begin there.
    fn text<'a>(&self, from: usize, place: &Range<usize>, event: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let before = self
            .event
            .get(from..place.start)
            .filter(|before| !before.is_empty())?;
        let rest = event.strip_prefix(before)?;
        let (text, rest) = rest.split_at_checked(memchr::memchr(b'"', rest)?)?;
        let is_plain =
            text.iter().all(|byte| *byte >= b' ' && *byte != b'\\') && str::from_utf8(text).is_ok();
        is_plain.then_some((text, rest))
    }
}

/// Where a text that was borrowed from an event stands in it; `None` for one that was not.
fn place(text: &str, event: &[u8]) -> Option<Range<usize>> {
    let start = text.as_ptr().addr().checked_sub(event.as_ptr().addr())?;
    let place = start..start.checked_add(text.len())?;
    (event.get(place.clone())? == text.as_bytes()).then_some(place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::reading::{Reading, Seen};

    fn chunk(text: &str, padding: &str) -> String {
        format!(
            r#"{{"id":"c","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}],"usage":null,"obfuscation":"{padding}"}}"#
        )
    }

    /// What is found out about the last event, with and without those before it.
    fn last(events: &[String]) -> [(Seen, bool); 2] {
        let [mut with, mut without] = [Reading::default(), Reading::default()];
        let mut seen = None;
        for event in events {
            with.has_output = false;
            seen = Some(with.event(event.as_bytes()));
        }
        let alone = without.event(events.last().unwrap().as_bytes());
        [(seen.unwrap(), with.has_output), (alone, without.has_output)]
    }

    #[test]
    fn an_event_is_understood_the_same_after_one_of_its_shape() {
        let first = chunk("Hello", "abc");
        for event in [
            chunk(" world", "x"),
            chunk("", ""),
            chunk("日本 é", "abcdefgh"),
            chunk(r#"a \"quoted\" word"#, "x"),
            chunk(r"a\nb", "x"),
            chunk("a line\nbreak", "x"),
            chunk("x", "a\u{0}b"),
            chunk("x", "y").replace("}}", "}"),
            chunk("x", "y").replace("null}", "\"stop\"}"),
            chunk("x", "y").replace(":null,\"obf", ":{\"prompt_tokens\":1},\"obf"),
            chunk("x", "y") + "}",
            chunk("x", "y").trim_end_matches('}').to_owned(),
            chunk("x\"},{\"content\":\"y", "z"),
        ] {
            let [with, without] = last(&[first.clone(), event.clone()]);
            assert_eq!(with, without, "{event}");
        }
    }

    #[test]
    fn only_the_texts_may_differ() {
        let mut reading = Reading::default();
        reading.event(chunk("Hello", "abc").as_bytes());

        assert_eq!(reading.shape.output_in(chunk("you", "").as_bytes()), Some(true));
        assert_eq!(reading.shape.output_in(chunk("", "x").as_bytes()), Some(false));
        let other_choice = chunk("you", "x").replace(":0", ":1");
        assert_eq!(reading.shape.output_in(other_choice.as_bytes()), None);
    }

    #[test]
    fn bytes_that_are_no_text_are_garbage_in_every_event() {
        let mut reading = Reading::default();
        reading.event(chunk("Hello", "abc").as_bytes());
        let mut event = chunk("?", "abc").into_bytes();
        let place = event.iter().position(|byte| *byte == b'?').unwrap();
        event[place] = 0xff;

        assert_eq!(reading.event(&event), Seen::Garbage);
    }

    proptest! {
        #[test]
        fn events_are_understood_the_same_with_and_without_those_before(
            texts in proptest::collection::vec(("[a \"\\\\\\n{}:,é]{0,6}", "[a\"\\\\]{0,3}"), 2..6),
        ) {
            let events: Vec<_> = texts.iter().map(|(text, padding)| chunk(text, padding)).collect();
            let [with, without] = last(&events);
            prop_assert_eq!(with, without);
        }
    }
}
