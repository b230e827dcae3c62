//! `codegen`: documents and dashboards that the code writes, and the page of measurements.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::bench;
use crate::command::{command, succeeds};
use crate::scratch;

/// What the example of the service writes, under the top of the tree.
const FILES: [&str; 6] = [
    "docs/CONFIGURATION.md",
    "docs/METRICS.md",
    "docs/openapi.json",
    "deploy/grafana/dashboards/gatewayz-fastapi.json",
    "deploy/grafana/dashboards/gatewayz-inference.json",
    "deploy/grafana/dashboards/gatewayz-telemetry.json",
];

/// Writes the files into the tree and returns whether that worked.
///
/// # Errors
/// When cargo cannot be started.
pub(crate) fn write(root: &Path) -> Result<bool> {
    for (name, text) in bench::document(root)? {
        fs::write(root.join(name), text).with_context(|| format!("write {name}"))?;
    }
    generate(root, root)
}

/// Compares the files in the tree with what the code says, names each that differs, and returns whether none does.
///
/// # Errors
/// When cargo cannot be started or the fresh files cannot be read.
pub(crate) fn check(root: &Path) -> Result<bool> {
    let fresh = scratch(root).join("codegen");
    if !generate(root, &fresh)? {
        return Ok(false);
    }
    let mut all_same = true;
    let mut generated = bench::document(root)?;
    for name in FILES {
        let expected =
            fs::read_to_string(fresh.join(name)).with_context(|| format!("read the generated {name}"))?;
        generated.push((name, expected));
    }
    for (name, expected) in generated {
        let committed = fs::read_to_string(root.join(name)).unwrap_or_default();
        if let Some(line) = first_difference(&committed, &expected) {
            eprintln!(
                "{name}:{line}: differs from the code; run `cargo xtask codegen` and commit the result"
            );
            all_same = false;
        }
    }
    Ok(all_same)
}

fn generate(root: &Path, directory: &Path) -> Result<bool> {
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    let arguments = [
        "run",
        "--quiet",
        "--locked",
        "--package",
        "gatewayz-api",
        "--example",
        "generate_docs",
        "--",
        "--out",
    ];
    succeeds(command(root, "cargo", &arguments).arg(directory))
}

/// Number of the first line that differs, from 1; `None` when the texts are the same.
fn first_difference(committed: &str, expected: &str) -> Option<usize> {
    if committed == expected {
        return None;
    }
    let same = committed
        .lines()
        .zip(expected.lines())
        .take_while(|(left, right)| left == right);
    Some(same.count() + 1)
}

#[cfg(test)]
mod tests {
    use super::first_difference;

    #[test]
    fn the_first_line_that_differs_is_named() {
        assert_eq!(first_difference("a\nb\nc\n", "a\nB\nc\n"), Some(2));
        assert_eq!(first_difference("", "a\n"), Some(1));
        assert_eq!(first_difference("a", "a\n"), Some(2));
        assert_eq!(first_difference("a\n", "a\n"), None);
    }
}
