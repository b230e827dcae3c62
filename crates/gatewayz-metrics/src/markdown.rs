//! The catalog as a document.

use std::fmt::Write as _;

use crate::family::Family;

/// One Markdown section per group, each a table of its families. Writes the same text for the same families.
#[must_use]
pub fn markdown(groups: &[(&str, &[Family])]) -> String {
    let mut document = String::new();
    for (title, families) in groups {
        if !document.is_empty() {
            document.push('\n');
        }
        // Writing to a string cannot fail.
        let _ = writeln!(document, "## {title}\n");
        document.push_str("| Name | Type | Unit | Labels | Meaning | Also written as |\n");
        document.push_str("|---|---|---|---|---|---|\n");
        for family in *families {
            let _ = writeln!(
                document,
                "| `{}` | {} | {} | {} | {} | {} |",
                family.name,
                family.kind.as_str(),
                or_dash(family.unit.as_str().to_owned()),
                or_dash(code_list(family.labels.iter().copied())),
                meaning(family),
                or_dash(aliases(family)),
            );
        }
    }
    document
}

fn meaning(family: &Family) -> String {
    let help = family.help.replace('\n', " ").replace('|', "\\|");
    if family.buckets.is_empty() {
        return help;
    }
    let bounds: Vec<_> = family.buckets.iter().map(ToString::to_string).collect();
    format!("{help} Buckets: {}.", bounds.join(", "))
}

fn aliases(family: &Family) -> String {
    let aliases = family.aliases.iter().map(|alias| {
        let note = if alias.legacy { " (legacy)" } else { "" };
        format!("`{}`{note}", alias.name)
    });
    aliases.collect::<Vec<_>>().join(", ")
}

fn code_list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::{Alias, Unit};

    #[test]
    fn every_family_has_a_row() {
        const DELAY: Family = Family::histogram(
            "delay_seconds",
            "Wait | queue.",
            &["a", "b"],
            Unit::Seconds,
            &[0.5, 1.0],
        )
        .with_alias(&[
            Alias::always("wait_seconds", ""),
            Alias::legacy("pause_seconds", ""),
        ]);

        let document = markdown(&[("One", &[DELAY]), ("Two", &[Family::gauge("up", "Up.", &[])])]);

        let expected = "\
## One

| Name | Type | Unit | Labels | Meaning | Also written as |
|---|---|---|---|---|---|
| `delay_seconds` | histogram | seconds | `a`, `b` | Wait \\| queue. Buckets: 0.5, 1. | `wait_seconds`, `pause_seconds` (legacy) |

## Two

| Name | Type | Unit | Labels | Meaning | Also written as |
|---|---|---|---|---|---|
| `up` | gauge | - | - | Up. | - |
";
        assert_eq!(document, expected);
    }
}
