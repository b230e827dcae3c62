//! A span's fields: attributes of the export, and readable for the lines inside the span.

use std::fmt::Debug;

use tracing::field::{Field, Visit};

use crate::encode::{self, ATTRIBUTES_MAX};

/// Most bytes of text that a closed span leaves room for to the next one.
const KEPT_BYTES: usize = 4096;

/// A list of texts in OpenTelemetry's GenAI conventions. Fields of `tracing` have no lists, so its text is sent as one.
const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";

/// The value of a span's field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FieldValue<'a> {
    /// A whole number.
    Integer(i64),
    /// A whole number above `i64::MAX`, which OTLP has as text.
    Unsigned(u64),
    /// A boolean.
    Flag(bool),
    /// A floating point number.
    Number(f64),
    /// A text, cut at 2,048 bytes.
    Text(&'a str),
}

/// Attributes, bounded in number; of one name there is the latest.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    entries: Vec<Entry>,
    /// The texts among the values, one behind the other.
    texts: String,
    dropped: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    name: &'static str,
    value: Stored,
}

#[derive(Debug, Clone, Copy)]
enum Stored {
    Integer(i64),
    Unsigned(u64),
    Flag(bool),
    Number(f64),
    /// From here to there in the texts.
    Text(usize, usize),
}

impl Attributes {
    pub(crate) fn add(&mut self, name: &'static str, value: FieldValue<'_>) {
        self.remove(name);
        if self.entries.len() >= ATTRIBUTES_MAX as usize {
            self.dropped += 1;
            encode::count_truncated();
            return;
        }
        let value = match value {
            FieldValue::Integer(value) => Stored::Integer(value),
            FieldValue::Unsigned(value) => match i64::try_from(value) {
                Ok(value) => Stored::Integer(value),
                Err(_) => Stored::Unsigned(value),
            },
            FieldValue::Flag(value) => Stored::Flag(value),
            FieldValue::Number(value) => Stored::Number(value),
            FieldValue::Text(value) => {
                let start = self.texts.len();
                self.texts.push_str(encode::cut(value));
                Stored::Text(start, self.texts.len())
            }
        };
        self.entries.push(Entry { name, value });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn remove(&mut self, name: &str) {
        let Some(index) = self.entries.iter().position(|entry| entry.name == name) else {
            return;
        };
        let Stored::Text(gone_start, gone_end) = self.entries.remove(index).value else {
            return;
        };
        self.texts.drain(gone_start..gone_end);
        for entry in self.entries.iter_mut().skip(index) {
            if let Stored::Text(start, end) = &mut entry.value {
                *start -= gone_end - gone_start;
                *end -= gone_end - gone_start;
            }
        }
    }

    /// Takes over those of `later`, which replace earlier ones.
    pub(crate) fn append(&mut self, later: &Self) {
        later.each(|name, value| self.add(name, value));
        self.dropped += later.dropped;
    }

    /// Shows each field to `look`, in the order in which they were recorded.
    pub(crate) fn each(&self, mut look: impl FnMut(&'static str, FieldValue<'_>)) {
        for entry in &self.entries {
            look(entry.name, self.value(entry.value));
        }
    }

    #[inline]
    fn value(&self, stored: Stored) -> FieldValue<'_> {
        match stored {
            Stored::Integer(value) => FieldValue::Integer(value),
            Stored::Unsigned(value) => FieldValue::Unsigned(value),
            Stored::Flag(value) => FieldValue::Flag(value),
            Stored::Number(value) => FieldValue::Number(value),
            Stored::Text(start, end) => FieldValue::Text(self.texts.get(start..end).unwrap_or_default()),
        }
    }

    /// Empties it; a buffer of ordinary length stays.
    pub(crate) fn clear(&mut self) {
        self.texts.clear();
        self.texts.shrink_to(KEPT_BYTES);
        self.entries.clear();
        self.dropped = 0;
    }

    /// Appends them to an encoded span.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        self.each(|name, value| match value {
            FieldValue::Integer(value) => encode::integer_attribute(name, value, out),
            FieldValue::Unsigned(value) => {
                encode::text_attribute(name, itoa::Buffer::new().format(value), out);
            }
            FieldValue::Flag(value) => encode::flag_attribute(name, value, out),
            FieldValue::Number(value) => encode::number_attribute(name, value, out),
            FieldValue::Text(value) if name == FINISH_REASONS => encode::list_attribute(name, value, out),
            FieldValue::Text(value) => encode::text_attribute(name, value, out),
        });
        encode::dropped_attributes(self.dropped, out);
    }
}

impl Visit for Attributes {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), FieldValue::Integer(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), FieldValue::Unsigned(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), FieldValue::Flag(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), FieldValue::Number(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), FieldValue::Text(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field.name(), FieldValue::Text(&format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(attributes: &Attributes) -> Vec<String> {
        let mut shown = Vec::new();
        attributes.each(|name, value| shown.push(format!("{name} {value:?}")));
        shown
    }

    fn encoded(attributes: &Attributes) -> Vec<u8> {
        let mut out = Vec::new();
        attributes.write(&mut out);
        out
    }

    #[test]
    fn a_field_recorded_again_has_its_latest_value_and_no_other() {
        let mut attributes = Attributes::default();
        attributes.add("state", FieldValue::Text("open"));
        attributes.add("order", FieldValue::Integer(7));
        attributes.add("paid", FieldValue::Flag(false));
        let mut later = Attributes::default();
        later.add("state", FieldValue::Text("closed and gone"));
        later.add("order", FieldValue::Unsigned(u64::MAX));

        attributes.append(&later);

        assert_eq!(
            shown(&attributes),
            [
                "paid Flag(false)",
                "state Text(\"closed and gone\")",
                "order Unsigned(18446744073709551615)"
            ]
        );
        let mut once = Attributes::default();
        once.add("paid", FieldValue::Flag(false));
        once.add("state", FieldValue::Text("closed and gone"));
        once.add("order", FieldValue::Unsigned(u64::MAX));
        assert_eq!(encoded(&attributes), encoded(&once));
    }

    #[test]
    fn attributes_beyond_the_most_are_counted_and_left_out() {
        const NAMES: [&str; 3] = ["a", "b", "c"];
        let mut attributes = Attributes::default();
        for index in 0..ATTRIBUTES_MAX {
            let name: &'static str = Box::leak(format!("n{index}").into_boxed_str());
            attributes.add(name, FieldValue::Integer(i64::from(index)));
        }

        for name in NAMES {
            attributes.add(name, FieldValue::Number(0.5));
        }

        assert_eq!(
            (attributes.entries.len(), attributes.dropped),
            (ATTRIBUTES_MAX as usize, 3)
        );
    }
}
