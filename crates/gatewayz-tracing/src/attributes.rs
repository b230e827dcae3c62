//! A span's fields: encoded once as attributes for the export, and readable for the lines inside the span.

use std::fmt::Debug;

use tracing::field::{Field, Visit};

use crate::encode::{self, ATTRIBUTES_MAX};

/// Room for a handful of attributes: growing from nothing would copy them several times.
const FIRST_BYTES: usize = 256;
/// Most bytes of a buffer that a closed span leaves to the next one.
const KEPT_BYTES: usize = 4096;

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

/// Attributes in their encoded form, bounded in number; of one name there is the latest.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    dropped: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    name: &'static str,
    /// Where it begins; it ends where the next one begins.
    start: usize,
    value: Stored,
}

#[derive(Debug, Clone, Copy)]
enum Stored {
    Integer(i64),
    Unsigned(u64),
    Flag(bool),
    Number(f64),
    /// So many of its last bytes.
    Text(usize),
}

impl Attributes {
    pub(crate) fn integer(&mut self, name: &'static str, value: i64) {
        self.add(name, Stored::Integer(value), |out| {
            encode::integer_attribute(name, value, out);
        });
    }

    pub(crate) fn unsigned(&mut self, name: &'static str, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.integer(name, value),
            Err(_) => self.add(name, Stored::Unsigned(value), |out| {
                encode::text_attribute(name, itoa::Buffer::new().format(value), out);
            }),
        }
    }

    pub(crate) fn flag(&mut self, name: &'static str, value: bool) {
        self.add(name, Stored::Flag(value), |out| {
            encode::flag_attribute(name, value, out);
        });
    }

    pub(crate) fn number(&mut self, name: &'static str, value: f64) {
        self.add(name, Stored::Number(value), |out| {
            encode::number_attribute(name, value, out);
        });
    }

    pub(crate) fn text(&mut self, name: &'static str, value: &str) {
        let value = encode::cut(value);
        self.add(name, Stored::Text(value.len()), |out| {
            encode::text_attribute(name, value, out);
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn add(&mut self, name: &'static str, value: Stored, write: impl FnOnce(&mut Vec<u8>)) {
        self.remove(name);
        if self.entries.len() >= ATTRIBUTES_MAX as usize {
            self.dropped += 1;
            encode::count_truncated();
            return;
        }
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(FIRST_BYTES);
        }
        let start = self.bytes.len();
        self.entries.push(Entry { name, start, value });
        write(&mut self.bytes);
    }

    fn remove(&mut self, name: &str) {
        let Some(index) = self.entries.iter().position(|entry| entry.name == name) else {
            return;
        };
        let end = self.end(index);
        let gone = self.entries.remove(index);
        self.bytes.drain(gone.start..end);
        for entry in self.entries.iter_mut().skip(index) {
            entry.start -= end - gone.start;
        }
    }

    fn end(&self, index: usize) -> usize {
        self.entries
            .get(index + 1)
            .map_or(self.bytes.len(), |next| next.start)
    }

    /// Takes over those of `later`, which replace earlier ones.
    pub(crate) fn append(&mut self, later: &Self) {
        for (index, entry) in later.entries.iter().enumerate() {
            let bytes = later.bytes.get(entry.start..later.end(index)).unwrap_or_default();
            self.add(entry.name, entry.value, |out| out.extend_from_slice(bytes));
        }
        self.dropped += later.dropped;
    }

    /// Shows each field to `look`, in the order in which they were recorded.
    pub(crate) fn each(&self, look: &mut dyn FnMut(&'static str, FieldValue<'_>)) {
        for (index, entry) in self.entries.iter().enumerate() {
            let value = match entry.value {
                Stored::Integer(value) => FieldValue::Integer(value),
                Stored::Unsigned(value) => FieldValue::Unsigned(value),
                Stored::Flag(value) => FieldValue::Flag(value),
                Stored::Number(value) => FieldValue::Number(value),
                Stored::Text(length) => {
                    let end = self.end(index);
                    let text = self.bytes.get(end.saturating_sub(length)..end);
                    FieldValue::Text(
                        text.and_then(|text| str::from_utf8(text).ok())
                            .unwrap_or_default(),
                    )
                }
            };
            look(entry.name, value);
        }
    }

    /// Empties it; a buffer of ordinary length stays.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.entries.clear();
        self.dropped = 0;
    }

    /// Appends them to an encoded span.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
        encode::dropped_attributes(self.dropped, out);
    }
}

impl Visit for Attributes {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.integer(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.unsigned(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.flag(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.number(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field.name(), &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(attributes: &Attributes) -> Vec<String> {
        let mut shown = Vec::new();
        attributes.each(&mut |name, value| shown.push(format!("{name} {value:?}")));
        shown
    }

    #[test]
    fn a_field_recorded_again_has_its_latest_value_and_no_other() {
        let mut attributes = Attributes::default();
        attributes.text("state", "open");
        attributes.integer("order", 7);
        attributes.flag("paid", false);
        let mut later = Attributes::default();
        later.text("state", "closed and gone");
        later.unsigned("order", u64::MAX);

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
        once.flag("paid", false);
        once.text("state", "closed and gone");
        once.unsigned("order", u64::MAX);
        assert_eq!(attributes.bytes, once.bytes);
    }

    #[test]
    fn attributes_beyond_the_most_are_counted_and_left_out() {
        const NAMES: [&str; 3] = ["a", "b", "c"];
        let mut attributes = Attributes::default();
        for index in 0..ATTRIBUTES_MAX {
            let name: &'static str = Box::leak(format!("n{index}").into_boxed_str());
            attributes.integer(name, i64::from(index));
        }
        let full = attributes.bytes.len();

        for name in NAMES {
            attributes.number(name, 0.5);
        }

        assert_eq!((attributes.bytes.len(), attributes.dropped), (full, 3));
    }
}
