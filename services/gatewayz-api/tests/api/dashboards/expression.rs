//! What a PromQL expression names, as far as checking names needs it.

use std::collections::BTreeSet;

const KEYWORDS: [&str; 5] = ["and", "bool", "offset", "or", "unless"];
const LISTS: [&str; 6] = ["by", "group_left", "group_right", "ignoring", "on", "without"];

/// The names in an expression.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Expression {
    pub(super) metrics: BTreeSet<String>,
    pub(super) labels: BTreeSet<String>,
    /// Names with their matchers, without windows.
    pub(super) selectors: BTreeSet<String>,
}

impl Expression {
    #[track_caller]
    pub(super) fn of(text: &str) -> Self {
        let mut found = Self::default();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if first == '[' {
                rest = rest.split_once(']').unwrap().1;
                continue;
            }
            let length = rest
                .find(|symbol: char| !(symbol.is_ascii_alphanumeric() || matches!(symbol, '_' | ':')))
                .unwrap_or(rest.len());
            if length == 0 {
                rest = &rest[first.len_utf8()..];
                continue;
            }
            let word = &rest[..length];
            rest = rest[length..].trim_start();
            if LISTS.contains(&word) {
                let (list, after) = rest.strip_prefix('(').unwrap().split_once(')').unwrap();
                let labels = list.split(',').map(str::trim).filter(|label| !label.is_empty());
                found.labels.extend(labels.map(str::to_owned));
                rest = after;
            } else if !first.is_ascii_digit() && !is_function(rest) && !KEYWORDS.contains(&word) {
                let matchers = matchers(rest);
                rest = &rest[matchers.len()..];
                found.labels.extend(labels_of(matchers));
                found.metrics.insert(word.to_owned());
                found.selectors.insert(format!("{word}{matchers}"));
            }
        }
        found
    }
}

/// Whether what precedes this is a function, or an aggregation with its labels first.
fn is_function(rest: &str) -> bool {
    ["(", "by (", "without ("]
        .iter()
        .any(|start| rest.starts_with(start))
}

/// The braces that the text begins with, empty without.
fn matchers(text: &str) -> &str {
    let mut in_quotes = false;
    for (place, symbol) in text.char_indices() {
        match symbol {
            '{' if place == 0 => {}
            _ if place == 0 => return "",
            '"' => in_quotes = !in_quotes,
            '}' if !in_quotes => return &text[..=place],
            _ => {}
        }
    }
    ""
}

fn labels_of(matchers: &str) -> Vec<String> {
    let mut labels = Vec::new();
    // Every second part is inside of quotes.
    for part in matchers.split('"').step_by(2) {
        let name = part.trim_matches(|symbol: char| !(symbol.is_ascii_alphanumeric() || symbol == '_'));
        if !name.is_empty() {
            labels.push(name.to_owned());
        }
    }
    labels
}

#[test]
fn names_labels_and_selectors_are_told_from_functions_windows_and_texts() {
    let text = r#"sum by (le, path) (rate(a_bucket{x="}y", le=~"3[.]"}[5m] offset 1h)) / on (job) group_left () b:c > 0.5 or time()"#;

    let found = Expression::of(text);

    let set = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(
        found,
        Expression {
            metrics: set(&["a_bucket", "b:c"]),
            labels: set(&["job", "le", "path", "x"]),
            selectors: set(&[r#"a_bucket{x="}y", le=~"3[.]"}"#, "b:c"]),
        }
    );
}
