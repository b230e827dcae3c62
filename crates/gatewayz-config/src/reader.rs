//! Typed access that collects mistakes instead of stopping at the first.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::parse::{Parsed, parse};
use crate::values::Entry;
use crate::{Mistake, Mistakes, Source, Values};

/// Builds typed settings from values and hands back all mistakes at the end.
///
/// While a value is mistaken its accessor answers with the schema's default,
/// or else with zero or nothing, so that the rest can still be checked;
/// [`Reader::finish`] then fails. Asking for a name or a kind that the schema
/// does not have is a mistake too.
#[derive(Debug)]
pub struct Reader<'values> {
    values: &'values Values,
    mistakes: Mistakes,
}

impl<'values> Reader<'values> {
    /// Starts with the mistakes that loading found.
    pub fn new(values: &'values Values) -> Self {
        Self {
            values,
            mistakes: values.mistakes().clone(),
        }
    }

    /// Hands out what was built.
    ///
    /// # Errors
    /// Every mistake, of loading and of reading.
    pub fn finish<T>(self, built: T) -> Result<T, Mistakes> {
        if self.mistakes.is_empty() {
            Ok(built)
        } else {
            Err(self.mistakes)
        }
    }

    /// Reports something wrong with a setting, as a verb phrase without the value.
    pub fn mistake(&mut self, name: &str, problem: impl Into<String>) {
        let entry = self.values.entry(name).filter(|entry| entry.text.is_some());
        self.mistakes.push(Mistake {
            variable: name.to_owned(),
            problem: problem.into(),
            expected: None,
            source: entry.map(|entry| entry.source.clone()),
        });
    }

    /// True when any layer or the schema gives a value, valid or not.
    pub fn is_set(&self, name: &str) -> bool {
        self.values.entry(name).is_some_and(|entry| entry.text.is_some())
    }

    /// The one of several settings that decides: the highest layer wins, and within it the first name.
    ///
    /// `None` when none is set.
    pub fn strongest(&self, names: &[&'static str]) -> Option<&'static str> {
        let rank = |name: &str| self.values.entry(name).map_or(0, |entry| entry.source.rank());
        // The last of equals is taken, hence from the back.
        names
            .iter()
            .rev()
            .copied()
            .filter(|name| self.is_set(name))
            .max_by_key(|name| rank(name))
    }

    /// A flag with a default.
    pub fn flag(&mut self, name: &str) -> bool {
        let value = self.optional_flag(name);
        self.required(name, value)
    }

    /// A flag, `None` when unset.
    pub fn optional_flag(&mut self, name: &str) -> Option<bool> {
        match self.parsed(name)? {
            Parsed::Flag(flag) => Some(flag),
            _ => self.other_kind(name),
        }
    }

    /// A whole number with a default; for bytes too.
    pub fn integer(&mut self, name: &str) -> u64 {
        let value = self.optional_integer(name);
        self.required(name, value)
    }

    /// A whole number, `None` when unset; for bytes too.
    pub fn optional_integer(&mut self, name: &str) -> Option<u64> {
        match self.parsed(name)? {
            Parsed::Integer(number) => Some(number),
            _ => self.other_kind(name),
        }
    }

    /// A count or a number of bytes that is held in memory, with a default.
    pub fn size(&mut self, name: &str) -> usize {
        let value = self.optional_size(name);
        self.required(name, value)
    }

    /// A count or a number of bytes that is held in memory, `None` when unset.
    pub fn optional_size(&mut self, name: &str) -> Option<usize> {
        let number = self.optional_integer(name)?;
        let size = usize::try_from(number).ok();
        if size.is_none() {
            self.mistake(name, "is more than this machine can address");
        }
        size
    }

    /// A number with a fraction and a default.
    pub fn number(&mut self, name: &str) -> f64 {
        let value = match self.parsed(name) {
            Some(Parsed::Number(number)) => Some(number),
            Some(_) => self.other_kind(name),
            None => None,
        };
        self.required(name, value)
    }

    /// A span of time with a default.
    pub fn duration(&mut self, name: &str) -> Duration {
        let value = match self.parsed(name) {
            Some(Parsed::Duration(duration)) => Some(duration),
            Some(_) => self.other_kind(name),
            None => None,
        };
        self.required(name, value)
    }

    /// A text with a default.
    pub fn text(&mut self, name: &str) -> String {
        let value = self.optional_text(name);
        self.required(name, value)
    }

    /// A text, `None` when unset.
    pub fn optional_text(&mut self, name: &str) -> Option<String> {
        match self.parsed(name)? {
            Parsed::Text(text) => Some(text),
            _ => self.other_kind(name),
        }
    }

    /// One of the schema's words, with a default.
    pub fn choice(&mut self, name: &str) -> &'static str {
        let value = self.optional_choice(name);
        self.required(name, value)
    }

    /// One of the schema's words, `None` when unset.
    pub fn optional_choice(&mut self, name: &str) -> Option<&'static str> {
        match self.parsed(name)? {
            Parsed::Choice(word) => Some(word),
            _ => self.other_kind(name),
        }
    }

    /// A URL, `None` when unset.
    pub fn url(&mut self, name: &str) -> Option<Url> {
        match self.parsed(name)? {
            Parsed::Url(url) => Some(url),
            _ => self.other_kind(name),
        }
    }

    /// A path, `None` when unset.
    pub fn path(&mut self, name: &str) -> Option<PathBuf> {
        match self.parsed(name)? {
            Parsed::Path(path) => Some(path),
            _ => self.other_kind(name),
        }
    }

    /// Words of a list, none when unset.
    pub fn list(&mut self, name: &str) -> Vec<String> {
        match self.parsed(name) {
            Some(Parsed::List(words)) => words,
            Some(_) => self.other_kind(name).unwrap_or_default(),
            None => Vec::new(),
        }
    }

    /// Decoded `key=value` pairs in their order, none when unset.
    pub fn pairs(&mut self, name: &str) -> Vec<(String, String)> {
        let exposed = |(key, value): (String, SecretString)| (key, value.expose_secret().to_owned());
        self.secret_pairs(name).into_iter().map(exposed).collect()
    }

    /// Decoded `key=value` pairs with secret values in their order, none when unset.
    pub fn secret_pairs(&mut self, name: &str) -> Vec<(String, SecretString)> {
        match self.parsed(name) {
            Some(Parsed::Pairs(pairs)) => pairs,
            Some(_) => self.other_kind(name).unwrap_or_default(),
            None => Vec::new(),
        }
    }

    /// A secret given as such, `None` when unset.
    pub fn secret(&mut self, name: &str) -> Option<SecretString> {
        match self.parsed(name)? {
            Parsed::Secret(secret) => Some(secret),
            _ => self.other_kind(name),
        }
    }

    /// What a secret file held while loading, `None` when unset.
    pub fn secret_file(&mut self, name: &str) -> Option<SecretString> {
        self.path(name)?;
        self.values.entry(name)?.content.clone()
    }

    /// A secret that is given as such or in a file: the higher layer wins, both in one are a mistake.
    pub fn secret_or_file(&mut self, name: &'static str, file_name: &'static str) -> Option<SecretString> {
        let rank = |name| self.values.entry(name).map(|entry: &Entry| entry.source.rank());
        if self.is_set(name) && self.is_set(file_name) && rank(name) == rank(file_name) {
            self.mistake(
                name,
                format!("is set together with {file_name}; keep one of them"),
            );
        }
        if self.strongest(&[name, file_name]) == Some(file_name) {
            self.secret_file(file_name)
        } else {
            self.secret(name)
        }
    }

    /// The value, or the schema's default in place of a mistaken one.
    fn parsed(&mut self, name: &str) -> Option<Parsed> {
        let Some(entry) = self.values.entry(name) else {
            self.mistake(name, "is not in the schema");
            return None;
        };
        let given = entry
            .text
            .as_ref()
            .and_then(|text| parse(entry.setting, text.expose_secret()).ok());
        given.or_else(|| {
            entry
                .setting
                .default
                .and_then(|default| parse(entry.setting, default).ok())
        })
    }

    fn required<T: Default>(&mut self, name: &str, value: Option<T>) -> T {
        if value.is_none() && !self.is_set(name) {
            self.mistake(name, "is not set");
        }
        value.unwrap_or_default()
    }

    fn other_kind<T>(&mut self, name: &str) -> Option<T> {
        self.mistake(name, "is of another kind in the schema");
        None
    }
}

impl Values {
    /// Where the setting's value comes from; [`Source::Default`] for a name that the schema does not have.
    pub fn source(&self, name: &str) -> Source {
        self.entry(name)
            .map_or(Source::Default, |entry| entry.source.clone())
    }
}
