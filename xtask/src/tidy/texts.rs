//! Every file: not too large, no unfinished marks, no paths of one machine, no key where none belongs.

use super::Finding;
use super::tree::Tree;

const MAX_FILE_BYTES: usize = 200 * 1024;
/// Only these may be larger: cargo writes them.
const LARGE_FILES: &str = "Cargo.lock";
const UNFINISHED_MARKS: [&str; 3] = ["TODO", "FIXME", "XXX"];
const MACHINE_PATHS: [&str; 2] = ["/work/", "/tmp/bash_jobs"];
/// These rules name what they forbid.
const RULES: &str = "xtask/src/tidy/";
/// Carries the admin key that the original documents published, for local use.
const LOCAL_ENVIRONMENT: &str = "deploy/env/local.env";
/// Where that key may stand: where it is refused or shown.
const PUBLISHED_KEY_PLACES: [&str; 7] = [
    "README.md",
    "crates/gatewayz-admin-auth/",
    "deploy/curl/",
    "docs/",
    "services/gatewayz-api/src/settings/tests.rs",
    "services/gatewayz-api/tests/api/",
    LOCAL_ENVIRONMENT,
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree
        .files()
        .iter()
        .filter(|file| file.size_bytes > MAX_FILE_BYTES)
    {
        if !file.path.ends_with(LARGE_FILES) {
            let message = format!(
                "has {} bytes, more than {MAX_FILE_BYTES}; leave it out or make it smaller",
                file.size_bytes
            );
            findings.push(Finding::new(&file.path, 0, message));
        }
    }
    let published_key = published_key(tree);
    for (path, text) in tree.texts().filter(|(path, _)| !path.starts_with(RULES)) {
        let key_is_allowed = PUBLISHED_KEY_PLACES.iter().any(|place| path.starts_with(place));
        for (line_number, line) in (1..).zip(text.lines()) {
            for mark in UNFINISHED_MARKS.iter().filter(|mark| has_word(line, mark)) {
                findings.push(Finding::new(
                    path,
                    line_number,
                    format!("{mark}: finish it or open an issue"),
                ));
            }
            for place in MACHINE_PATHS.iter().filter(|place| line.contains(**place)) {
                let message = format!("{place} is a path of one machine; take it out");
                findings.push(Finding::new(path, line_number, message));
            }
            if !key_is_allowed && published_key.is_some_and(|key| line.contains(key)) {
                let message =
                    "the published admin key; read it from deploy/env/local.env or make a key for this use";
                findings.push(Finding::new(path, line_number, message));
            }
        }
    }
    findings
}

fn published_key(tree: &Tree) -> Option<&str> {
    let mut lines = tree.text(LOCAL_ENVIRONMENT)?.lines();
    let key = lines
        .find_map(|line| line.strip_prefix("ADMIN_API_KEY="))?
        .trim()
        .trim_matches('"');
    (!key.is_empty()).then_some(key)
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        let before = line.get(..start).and_then(|text| text.chars().next_back());
        let after = line
            .get(start + word.len()..)
            .and_then(|text| text.chars().next());
        let joins =
            |symbol: Option<char>| symbol.is_some_and(|symbol| symbol.is_alphanumeric() || symbol == '_');
        !joins(before) && !joins(after)
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    #[track_caller]
    fn finds(files: &[(&str, &str)], expected: &[&str]) {
        let lines: Vec<_> = check(&Tree::of(files)).iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), expected.len(), "{lines:?}");
        for (line, start) in lines.iter().zip(expected) {
            assert!(line.starts_with(start), "{line}");
        }
    }

    #[test]
    fn an_unfinished_mark_is_refused_as_a_word_only() {
        finds(&[("a.md", "fine\nTODO: more\n")], &["a.md:2: TODO"]);
        finds(&[("a.md", "AUTODOC TODOS XXXL\n")], &[]);
    }

    #[test]
    fn a_path_of_one_machine_is_refused() {
        finds(&[("a.md", "see /work/x\n")], &["a.md:1: /work/"]);
    }

    #[test]
    fn a_large_file_is_refused_unless_cargo_writes_it() {
        let large = "x".repeat(200 * 1024 + 1);
        finds(
            &[("Cargo.lock", &large), ("a.bin", &large)],
            &["a.bin: has 204801 bytes"],
        );
    }

    #[test]
    fn the_published_key_stands_only_where_it_belongs() {
        let environment = ("deploy/env/local.env", "ADMIN_API_KEY=gw_live_known\n");
        finds(&[environment, ("README.md", "gw_live_known\n")], &[]);
        finds(
            &[environment, ("src/a.rs", "\n\"gw_live_known\"\n")],
            &["src/a.rs:2: the published admin key"],
        );
    }
}
