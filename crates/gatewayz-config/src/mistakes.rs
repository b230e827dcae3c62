//! What is wrong with the settings: every mistake at once, none with a value in it.

use std::fmt;

use crate::Source;

/// More mistakes than this are counted, not listed.
const LISTED: usize = 100;

/// One thing that keeps the settings from being used. It never holds the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The variable to change.
    pub variable: String,
    /// What is wrong, as a verb phrase.
    pub problem: String,
    /// What would be right; `None` when the problem says so.
    pub expected: Option<String>,
    /// Where the value comes from; `None` when nothing sets it.
    pub source: Option<Source>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.variable, self.problem)?;
        if let Some(expected) = &self.expected {
            write!(formatter, "; expected {expected}")?;
        }
        match &self.source {
            Some(source) => write!(formatter, " ({source})"),
            None => Ok(()),
        }
    }
}

/// All mistakes of one load, in the order of the layers and of the schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mistakes {
    mistakes: Vec<Mistake>,
    unlisted: usize,
}

impl Mistakes {
    /// Adds one; beyond a hundred they are only counted.
    pub fn push(&mut self, mistake: Mistake) {
        if self.mistakes.len() < LISTED {
            self.mistakes.push(mistake);
        } else {
            self.unlisted += 1;
        }
    }

    /// True when the settings can be used.
    pub fn is_empty(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// How many there are, with those not listed.
    pub fn len(&self) -> usize {
        self.mistakes.len() + self.unlisted
    }

    /// The listed ones, at most a hundred.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.mistakes.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, mistake) in self.mistakes.iter().enumerate() {
            let separator = if position == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{mistake}")?;
        }
        if self.unlisted > 0 {
            write!(formatter, "\nand {} more", self.unlisted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Something that is probably not meant, but harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The variable it is about.
    pub variable: String,
    /// What is odd, as a verb phrase.
    pub problem: String,
    /// Where it is set.
    pub source: Source,
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} ({})", self.variable, self.problem, self.source)
    }
}
