//! Manifests: described, documented, sorted, with the one version table of the workspace.

use toml::{Table, Value};

use super::Finding;
use super::tree::Tree;

/// Workspaces of their own, which cannot use the version table.
const OWN_WORKSPACES: &str = "xtask/bench-peers/";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.texts_ending("Cargo.toml")
        .filter(|(path, _)| !path.starts_with(OWN_WORKSPACES))
        .flat_map(|(path, text)| {
            let mut findings = check_package(tree, path, text);
            findings.extend(check_tables(path, text));
            findings
        })
        .collect()
}

fn check_package(tree: &Tree, path: &str, text: &str) -> Vec<Finding> {
    // What is not TOML is a finding of the layers.
    let manifest: Table = text.parse().unwrap_or_default();
    let Some(package) = manifest.get("package") else {
        return Vec::new();
    };
    let folder = path.strip_suffix("Cargo.toml").unwrap_or(path);
    let mut findings = Vec::new();
    if package
        .get("description")
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        findings.push(Finding::new(
            path,
            0,
            "has no description; say in one sentence what the crate is",
        ));
    }
    match package.get("readme").and_then(Value::as_str) {
        Some(readme) if !tree.contains(&format!("{folder}{readme}")) => {
            findings.push(Finding::new(
                path,
                0,
                format!("names {readme}, which is not there; write it"),
            ));
        }
        None if path.starts_with("crates/") => {
            findings.push(Finding::new(
                path,
                0,
                "names no readme; add `readme = \"README.md\"` and the file",
            ));
        }
        Some(_) | None => {}
    }
    if manifest.get("lints").and_then(|lints| lints.get("workspace")) != Some(&Value::Boolean(true)) {
        findings.push(Finding::new(
            path,
            0,
            "does not take the lints; add `[lints]` with `workspace = true`",
        ));
    }
    findings
}

fn check_tables(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut header = "";
    let mut previous = "";
    for (line_number, line) in (1..).zip(text.lines()) {
        if line.starts_with('[') {
            header = line.trim();
            previous = "";
            if header.contains("dependencies.") {
                findings.push(Finding::new(
                    path,
                    line_number,
                    "a dependency with a table of its own; write it in one line",
                ));
            }
            continue;
        }
        let is_entry = line.starts_with(|symbol: char| symbol.is_ascii_alphanumeric());
        if !header.ends_with("dependencies]") || !is_entry {
            continue;
        }
        let name = line.split(['.', ' ', '=']).next().unwrap_or(line);
        if name < previous {
            let message = format!("{name} stands after {previous}; sort the table by name");
            findings.push(Finding::new(path, line_number, message));
        }
        previous = name;
        if header != "[workspace.dependencies]" && !line.contains("workspace = true") {
            let message = format!(
                "{name} has a version of its own; put it into [workspace.dependencies] and \
                                   write `{name}.workspace = true`"
            );
            findings.push(Finding::new(path, line_number, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    const HEAD: &str = "[package]\nname = \"a\"\ndescription = \"A.\"\nreadme = \"README.md\"\n\
                        [lints]\nworkspace = true\n[dependencies]\n";

    #[track_caller]
    fn finds(manifest: &str, expected: &[&str]) {
        let tree = Tree::of(&[("crates/a/Cargo.toml", manifest), ("crates/a/README.md", "# a\n")]);

        let findings = check(&tree);

        let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), expected.len(), "{lines:?}");
        for (line, part) in lines.iter().zip(expected) {
            assert!(line.contains(part), "{line}");
        }
    }

    #[test]
    fn a_sorted_manifest_with_the_versions_of_the_workspace_is_fine() {
        let table =
            "http.workspace = true\nhttp-body-util = { workspace = true, features = [\n  \"channel\",\n] }\n";
        finds(&format!("{HEAD}{table}"), &[]);
    }

    #[test]
    fn an_unsorted_table_is_refused() {
        let table = "url.workspace = true\nbytes.workspace = true\n";
        finds(
            &format!("{HEAD}{table}"),
            &["crates/a/Cargo.toml:9: bytes stands after url"],
        );
    }

    #[test]
    fn a_version_of_its_own_is_refused() {
        finds(
            &format!("{HEAD}bytes = \"1\"\n"),
            &["crates/a/Cargo.toml:8: bytes has a version of its own"],
        );
    }

    #[test]
    fn a_crate_needs_a_description_a_readme_and_the_lints() {
        finds(
            "[package]\nname = \"a\"\n",
            &["has no description", "names no readme", "does not take the lints"],
        );
    }
}
