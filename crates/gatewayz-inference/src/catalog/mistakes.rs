//! What is wrong with a catalog: every mistake at once, by place, never with a value from the file.

use std::fmt;

const LISTED: usize = 100;

/// One thing that keeps a catalog from being used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogMistake {
    /// Line of the file, from 1.
    pub line: usize,
    /// The entry, such as `models[0].candidates[1].weight`.
    pub place: String,
    /// What is wrong or what is expected.
    pub problem: String,
}

/// All mistakes of one file, in the order of its lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CatalogMistakes {
    mistakes: Vec<CatalogMistake>,
    unlisted: usize,
}

impl CatalogMistakes {
    /// The mistakes, at most a hundred.
    pub fn iter(&self) -> impl Iterator<Item = &CatalogMistake> {
        self.mistakes.iter()
    }

    /// How many there are, with those not listed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.mistakes.len() + self.unlisted
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn push(&mut self, line: usize, place: impl Into<String>, problem: impl Into<String>) {
        if self.mistakes.len() == LISTED {
            self.unlisted += 1;
            return;
        }
        self.mistakes.push(CatalogMistake {
            line,
            place: place.into(),
            problem: problem.into(),
        });
    }

    pub(super) fn sort(&mut self) {
        self.mistakes.sort_by_key(|mistake| mistake.line);
    }
}

impl fmt::Display for CatalogMistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, place, problem } = self;
        match place.as_str() {
            "" => write!(formatter, "line {line}: {problem}"),
            place => write!(formatter, "line {line}: {place}: {problem}"),
        }
    }
}

impl fmt::Display for CatalogMistakes {
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

impl std::error::Error for CatalogMistakes {}
