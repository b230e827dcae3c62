//! The oldest Rust that the workspace promises to build with.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use toml::Table;

use crate::command::{answers, command, succeeds};

/// `rust-version` of the workspace.
///
/// # Errors
/// When the manifest does not say it.
pub(crate) fn rust_version(root: &Path) -> Result<String> {
    let text = fs::read_to_string(root.join("Cargo.toml")).context("read Cargo.toml")?;
    declared(&text).context("read rust-version in Cargo.toml")
}

/// Why this Rust cannot be used; `None` when it is there, after its installation if that was asked for.
///
/// # Errors
/// When rustup cannot be started or fails.
pub(crate) fn missing_toolchain(root: &Path, version: &str, install: bool) -> Result<Option<String>> {
    if answers("rustup", &["run", version, "cargo", "--version"]) {
        return Ok(None);
    }
    let arguments = ["toolchain", "install", version, "--profile", "minimal"];
    let by_hand = format!("rustup {}", arguments.join(" "));
    if !install || !answers("rustup", &["--version"]) {
        return Ok(Some(format!("Rust {version} is missing: {by_hand}")));
    }
    println!(".. {by_hand}");
    anyhow::ensure!(
        succeeds(&mut command(root, "rustup", &arguments))?,
        "install Rust {version}"
    );
    Ok(None)
}

fn declared(manifest: &str) -> Option<String> {
    let manifest: Table = manifest.parse().ok()?;
    let package = manifest.get("workspace")?.get("package")?;
    package.get("rust-version")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::declared;

    #[test]
    fn the_version_of_the_workspace_is_found() {
        let manifest = "[workspace.package]\nedition = \"2024\"\nrust-version = \"1.89\"\n";

        assert_eq!(declared(manifest).as_deref(), Some("1.89"));
        assert_eq!(declared("[package]\nrust-version = \"1.89\"\n"), None);
    }
}
