//! The loaded values, where each comes from, and how they are shown.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::parse::Parsed;
use crate::{Mistakes, Setting, Source, Warning, redacted_url};

const HIDDEN: &str = "***";
const INVALID: &str = "(invalid)";

/// One value per setting of the schema, with everything that is wrong with them.
///
/// Typed access goes through [`Reader`](crate::Reader).
pub struct Values {
    pub(crate) entries: Vec<Entry>,
    pub(crate) mistakes: Mistakes,
    pub(crate) warnings: Vec<Warning>,
}

pub(crate) struct Entry {
    pub(crate) setting: &'static Setting,
    pub(crate) source: Source,
    /// As given; any of them may be a secret in the wrong place.
    pub(crate) text: Option<SecretString>,
    /// `None` when unset or invalid.
    pub(crate) parsed: Option<Parsed>,
    /// What the file of a secret holds.
    pub(crate) content: Option<SecretString>,
}

impl Entry {
    fn shown(&self) -> Option<String> {
        let text = self.text.as_ref()?;
        Some(match &self.parsed {
            None => INVALID.to_owned(),
            Some(_) if self.setting.secret => HIDDEN.to_owned(),
            Some(Parsed::Url(url)) => redacted_url(url),
            Some(Parsed::Choice(word)) => (*word).to_owned(),
            Some(_) => text.expose_secret().to_owned(),
        })
    }
}

/// A setting as an operator may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Name of the variable.
    pub name: &'static str,
    /// The value: `***` for a secret, a URL without user name and query,
    /// `(invalid)` for a mistaken one, `None` when unset.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: Source,
    /// The schema's default applies, or nothing is set.
    pub is_default: bool,
    /// The value is never shown.
    pub secret: bool,
}

impl Values {
    /// What keeps the values from being used; rules between several settings are not in it.
    pub fn mistakes(&self) -> &Mistakes {
        &self.mistakes
    }

    /// What is probably not meant.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Every setting in schema order, safe to show.
    pub fn describe(&self) -> Vec<Described> {
        let described = |entry: &Entry| Described {
            name: entry.setting.name,
            value: entry.shown(),
            source: entry.source.clone(),
            is_default: entry.source == Source::Default,
            secret: entry.setting.secret,
        };
        self.entries.iter().map(described).collect()
    }

    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.setting.name == name)
    }
}

/// `NAME=value  # source` per setting, `#NAME=` for those unset.
impl fmt::Display for Values {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for described in self.describe() {
            match described.value {
                Some(value) => writeln!(formatter, "{}={value}  # {}", described.name, described.source)?,
                None => writeln!(formatter, "#{}=", described.name)?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Values")
            .field("described", &self.describe())
            .field("mistakes", &self.mistakes)
            .field("warnings", &self.warnings)
            .finish()
    }
}
