//! Programs that checks need and that may be missing: found, installed on request, or named.

mod node;
mod python;
mod toolchain;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Result;

use crate::command::{answers, command, succeeds};
use crate::steps::Outcome;

pub(crate) use node::{node, node_packages};
pub(crate) use python::{python, python_environment};
pub(crate) use toolchain::{missing_toolchain, rust_version};

const DENY_INSTALL: [&str; 5] = ["install", "cargo-deny", "--locked", "--version", "0.20.2"];
const PROMETHEUS_INSTALL: [&str; 4] = ["install", "-y", "--no-install-recommends", "prometheus"];
const VALGRIND_INSTALL: [&str; 4] = ["install", "-y", "--no-install-recommends", "valgrind"];

/// Why cargo-deny cannot run; `None` when it is there, after its installation if that was asked for.
///
/// # Errors
/// When the installation fails.
pub(crate) fn missing_cargo_deny(root: &Path, install: bool) -> Result<Option<String>> {
    if answers("cargo", &["deny", "--version"]) {
        return Ok(None);
    }
    let by_hand = format!("cargo {}", DENY_INSTALL.join(" "));
    if !install {
        return Ok(Some(format!("cargo-deny is missing: {by_hand}")));
    }
    println!(".. {by_hand} (takes minutes)");
    anyhow::ensure!(
        succeeds(&mut command(root, "cargo", &DENY_INSTALL))?,
        "install cargo-deny"
    );
    Ok(None)
}

/// Finds `prometheus` and `promtool`, or installs both on Debian as root.
///
/// # Errors
/// When the package manager cannot be started.
pub(crate) fn prometheus(root: &Path, install: bool) -> Result<Outcome> {
    if has_prometheus() {
        return Ok(Outcome::Passed);
    }
    let missing = install_package(root, install, "prometheus or promtool", &PROMETHEUS_INSTALL)?;
    if let Some(reason) = missing {
        return Ok(Outcome::Skipped(reason));
    }
    stop_prometheus_service(root);
    Ok(has_prometheus().into())
}

/// Finds `valgrind`, or installs it on Debian as root.
///
/// # Errors
/// When the package manager cannot be started.
pub(crate) fn valgrind(root: &Path, install: bool) -> Result<Outcome> {
    if has_valgrind() {
        return Ok(Outcome::Passed);
    }
    let missing = install_package(root, install, "valgrind", &VALGRIND_INSTALL)?;
    Ok(missing.map_or_else(|| has_valgrind().into(), Outcome::Skipped))
}

/// Whether instructions can be counted.
pub(crate) fn has_valgrind() -> bool {
    answers("valgrind", &["--version"])
}

/// Installs a Debian package that `what` comes with; returns why that is not done, with what to do about it.
fn install_package(root: &Path, install: bool, what: &str, arguments: &[&str]) -> Result<Option<String>> {
    let by_hand = format!("apt-get update && apt-get {}", arguments.join(" "));
    if !install {
        return Ok(Some(format!("{what} is missing: {by_hand}")));
    }
    if !is_debian_root() {
        return Ok(Some(format!("not root on Debian; install by hand: {by_hand}")));
    }
    let installed = apt(root, &["update"])? && apt(root, arguments)?;
    Ok((!installed).then(|| format!("the installation failed: {by_hand}")))
}

fn has_prometheus() -> bool {
    answers("prometheus", &["--version"]) && answers("promtool", &["--version"])
}

fn is_debian_root() -> bool {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    is_root && Path::new("/etc/debian_version").exists()
}

fn apt(root: &Path, arguments: &[&str]) -> Result<bool> {
    succeeds(command(root, "apt-get", arguments).env("DEBIAN_FRONTEND", "noninteractive"))
}

/// The package starts a server on port 9090, which is the port of the one in docker-compose.yml.
fn stop_prometheus_service(root: &Path) {
    let stopped = if Path::new("/run/systemd/system").exists() {
        succeeds(&mut command(
            root,
            "systemctl",
            &["disable", "--now", "prometheus"],
        ))
    } else {
        succeeds(&mut command(root, "service", &["prometheus", "stop"]))
    };
    if !stopped.is_ok_and(|stopped| stopped) {
        println!(".. the Prometheus service of the package was not stopped; it may not have been running");
    }
}
