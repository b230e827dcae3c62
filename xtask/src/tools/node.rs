//! The Node packages of the tests, in `target/node`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{apt, is_debian_root};
use crate::command::{answers, command, succeeds};
use crate::scratch;
use crate::steps::Outcome;

const MANIFEST: &str = "services/gatewayz-api/tests/sdk/package.json";
/// The oldest that the SDK was seen to run on; it asks for 22 itself.
const IS_RECENT: &str = "if (parseInt(process.versions.node) < 20) process.exit(1)";

/// The folder with `node_modules` when it has exactly the packages of the manifest.
pub(crate) fn node(root: &Path) -> Option<PathBuf> {
    let directory = scratch(root).join("node");
    let wanted = fs::read(root.join(MANIFEST)).ok()?;
    let installed = fs::read(directory.join("package.json")).ok()?;
    let package = directory.join("node_modules/openai");
    let loads = || {
        answers(
            "node",
            &["-e", "require(process.argv[1])", &package.to_string_lossy()],
        )
    };
    (installed == wanted && loads()).then_some(directory)
}

/// Finds the Node packages, or installs them anew.
///
/// # Errors
/// When an installation that was asked for fails.
pub(crate) fn node_packages(root: &Path, install: bool) -> Result<Outcome> {
    if node(root).is_some() {
        return Ok(Outcome::Passed);
    }
    if !install {
        let reason = "target/node is missing or has other packages: cargo xtask test --install";
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    if !has_node() && is_debian_root() {
        let packages = ["install", "-y", "--no-install-recommends", "nodejs", "npm"];
        anyhow::ensure!(apt(root, &["update"])? && apt(root, &packages)?, "install Node");
    }
    if !has_node() {
        let reason = "Node 20 or newer, or its npm, is missing; install both by hand";
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    let directory = scratch(root).join("node");
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).context("clear target/node"),
        Ok(()) | Err(_) => {}
    }
    fs::create_dir_all(&directory).context("create target/node")?;
    fs::copy(root.join(MANIFEST), directory.join("package.json")).context("copy the manifest")?;
    let npm = [
        "install",
        "--ignore-scripts",
        "--no-package-lock",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ];
    anyhow::ensure!(
        succeeds(&mut command(&directory, "npm", &npm))?,
        "install the packages of {MANIFEST}"
    );
    Ok(node(root).is_some().into())
}

fn has_node() -> bool {
    answers("node", &["-e", IS_RECENT]) && answers("npm", &["--version"])
}
