//! Reads one TOML table key by key, so that every mistake and every unknown key is found with its line.

use std::time::Duration;

use toml::Spanned;
use toml::de::{DeFloat, DeInteger, DeTable, DeValue};

use super::mistakes::CatalogMistakes;

const MAX_DURATION: Duration = Duration::from_secs(3_600);

/// The text of a file and what was wrong with it so far.
pub(super) struct Source<'t> {
    text: &'t str,
    pub(super) mistakes: CatalogMistakes,
}

impl<'t> Source<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            mistakes: CatalogMistakes::default(),
        }
    }

    /// The line of a byte offset, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

/// One table of the file, and which of its keys were asked for.
pub(super) struct Section<'s, 't> {
    table: &'s DeTable<'t>,
    pub(super) place: String,
    pub(super) line: usize,
    asked: Vec<&'static str>,
}

impl<'s, 't> Section<'s, 't> {
    pub(super) fn new(table: &'s DeTable<'t>, place: String, line: usize) -> Self {
        Self {
            table,
            place,
            line,
            asked: Vec::new(),
        }
    }

    /// The text of a key that must be there.
    pub(super) fn required_text(&mut self, source: &mut Source<'_>, key: &'static str) -> Option<&'s str> {
        if !self.table.contains_key(key) {
            self.asked.push(key);
            source.mistakes.push(self.line, self.place_of(key), "is missing");
            return None;
        }
        self.text(source, key)
    }

    pub(super) fn text(&mut self, source: &mut Source<'_>, key: &'static str) -> Option<&'s str> {
        let value = self.value(key)?;
        let text = value.get_ref().as_str();
        self.expect(source, key, text, "expected text")
    }

    pub(super) fn flag(&mut self, source: &mut Source<'_>, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        let flag = value.get_ref().as_bool();
        self.expect(source, key, flag, "expected true or false")
    }

    /// A whole number from 1 to 1,000,000.
    pub(super) fn count(&mut self, source: &mut Source<'_>, key: &'static str) -> Option<u32> {
        let value = self.value(key)?;
        let count = value
            .get_ref()
            .as_integer()
            .filter(|number| number.radix() == 10)
            .and_then(|number| number.as_str().parse().ok())
            .filter(|count| (1..=1_000_000).contains(count));
        self.expect(source, key, count, "expected a whole number from 1 to 1000000")
    }

    /// Seconds with or without a fraction, above 0, up to an hour.
    pub(super) fn seconds(&mut self, source: &mut Source<'_>, key: &'static str) -> Option<Duration> {
        let decimal = self.decimal(key)?;
        let duration = decimal
            .and_then(|decimal| decimal.parse().ok())
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .filter(|duration| !duration.is_zero() && *duration <= MAX_DURATION);
        self.expect(source, key, duration, "expected seconds, above 0 and up to 3600")
    }

    /// A number exactly as it is written; the inner `None` for anything else. The outer is `None` without the key.
    pub(super) fn decimal(&mut self, key: &'static str) -> Option<Option<&'s str>> {
        let value = self.value(key)?.get_ref();
        let integer = value
            .as_integer()
            .filter(|number| number.radix() == 10)
            .map(DeInteger::as_str);
        Some(integer.or_else(|| value.as_float().map(DeFloat::as_str)))
    }

    pub(super) fn section(&mut self, source: &mut Source<'_>, key: &'static str) -> Option<Section<'s, 't>> {
        let value = self.value(key)?;
        let table = self.expect(source, key, value.get_ref().as_table(), "expected a table")?;
        Some(Section::new(
            table,
            self.place_of(key),
            source.line(value.span().start),
        ))
    }

    /// The tables of an array; empty when the key is missing or wrong.
    pub(super) fn sections(&mut self, source: &mut Source<'_>, key: &'static str) -> Vec<Section<'s, 't>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Some(array) = self.expect(
            source,
            key,
            value.get_ref().as_array(),
            "expected an array of tables",
        ) else {
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (index, entry) in array.iter().enumerate() {
            let place = format!("{}[{index}]", self.place_of(key));
            let line = source.line(entry.span().start);
            match entry.get_ref().as_table() {
                Some(table) => sections.push(Section::new(table, place, line)),
                None => source.mistakes.push(line, place, "expected a table"),
            }
        }
        sections
    }

    /// Adds a mistake about a key that is there.
    pub(super) fn mistake(&self, source: &mut Source<'_>, key: &str, problem: &str) {
        let line = self
            .table
            .get(key)
            .map_or(self.line, |value| source.line(value.span().start));
        source.mistakes.push(line, self.place_of(key), problem);
    }

    /// Adds a mistake for each key that nobody asked for.
    pub(super) fn refuse_unknown_keys(self, source: &mut Source<'_>) {
        for key in self.table.keys() {
            if !self.asked.contains(&key.get_ref().as_ref()) {
                let line = source.line(key.span().start);
                let problem = format!("has an unknown key; known are {}", self.asked.join(", "));
                source.mistakes.push(line, self.place.clone(), problem);
            }
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'s Spanned<DeValue<'t>>> {
        self.asked.push(key);
        self.table.get(key)
    }

    fn expect<T>(&self, source: &mut Source<'_>, key: &str, value: Option<T>, problem: &str) -> Option<T> {
        if value.is_none() {
            self.mistake(source, key, problem);
        }
        value
    }

    fn place_of(&self, key: &str) -> String {
        match self.place.as_str() {
            "" => key.to_owned(),
            place => format!("{place}.{key}"),
        }
    }
}
