//! `tidy`: the rules of the house that no compiler checks.

mod documents;
mod layers;
mod manifests;
mod metrics;
mod sources;
mod texts;
mod tree;

use std::fmt;
use std::path::Path;

use anyhow::Result;

use tree::Tree;

/// One broken rule and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// From 1; 0 for the file as a whole.
    line: usize,
    message: String,
}

/// Checks every rule, prints what is broken, and returns whether nothing is.
///
/// # Errors
/// When the workspace cannot be read.
pub(crate) fn tidy(root: &Path) -> Result<bool> {
    let tree = Tree::load(root)?;
    let mut findings = findings(&tree);
    findings.sort();
    for finding in &findings {
        eprintln!("{finding}");
    }
    println!("{} files, {} findings", tree.files().len(), findings.len());
    Ok(findings.is_empty())
}

fn findings(tree: &Tree) -> Vec<Finding> {
    let checks = [
        layers::check,
        manifests::check,
        sources::check,
        texts::check,
        documents::check,
        metrics::check,
    ];
    checks.iter().flat_map(|check| check(tree)).collect()
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(formatter, "{}: {}", self.path, self.message),
            line => write!(formatter, "{}:{line}: {}", self.path, self.message),
        }
    }
}
