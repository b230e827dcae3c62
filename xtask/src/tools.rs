//! Programs that checks need and that may be missing: found, installed on request, or named.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::{answers, command, succeeds};
use crate::scratch;
use crate::steps::Outcome;

/// The strict OpenMetrics parser; pinned because tests state what it accepts.
const PROMETHEUS_CLIENT: &str = "prometheus_client==0.26.0";
const DENY_INSTALL: [&str; 5] = ["install", "cargo-deny", "--locked", "--version", "0.20.2"];
const PROMETHEUS_INSTALL: [&str; 4] = ["install", "-y", "--no-install-recommends", "prometheus"];

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
    let by_hand = format!("apt-get update && apt-get {}", PROMETHEUS_INSTALL.join(" "));
    if !install {
        return Ok(Outcome::Skipped(format!(
            "prometheus or promtool is missing: {by_hand}"
        )));
    }
    if !is_debian_root() {
        return Ok(Outcome::Skipped(format!(
            "not root on Debian; install by hand: {by_hand}"
        )));
    }
    let installed = apt(root, &["update"])? && apt(root, &PROMETHEUS_INSTALL)?;
    if !installed {
        return Ok(Outcome::Skipped(format!("the installation failed: {by_hand}")));
    }
    stop_prometheus_service(root);
    Ok(has_prometheus().into())
}

/// The Python of `target/venv` when it has the strict OpenMetrics parser.
pub(crate) fn python(root: &Path) -> Option<PathBuf> {
    let python = scratch(root).join("venv/bin/python");
    answers(&python, &["-c", "import prometheus_client.openmetrics.parser"]).then_some(python)
}

/// Finds the Python environment, or creates it.
///
/// # Errors
/// When Python cannot be started.
pub(crate) fn python_environment(root: &Path, install: bool) -> Result<Outcome> {
    if python(root).is_some() {
        return Ok(Outcome::Passed);
    }
    let by_hand =
        format!("python3 -m venv target/venv && target/venv/bin/python -m pip install {PROMETHEUS_CLIENT}");
    if !install {
        return Ok(Outcome::Skipped(format!("target/venv is missing: {by_hand}")));
    }
    let directory = scratch(root).join("venv");
    let path = directory
        .to_str()
        .context("read the path of the workspace as UTF-8")?;
    let create = ["-m", "venv", "--clear", path];
    if !answers("python3", &["-c", "import ensurepip, venv"]) && is_debian_root() {
        apt(root, &["update"])?;
        apt(
            root,
            &[
                "install",
                "-y",
                "--no-install-recommends",
                "python3",
                "python3-venv",
            ],
        )?;
    }
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        PROMETHEUS_CLIENT,
    ];
    let python_path = directory.join("bin/python");
    let installed = succeeds(&mut command(root, "python3", &create))?
        && succeeds(&mut command(root, &python_path.to_string_lossy(), &pip))?;
    if !installed {
        return Ok(Outcome::Skipped(format!("the installation failed: {by_hand}")));
    }
    Ok(python(root).is_some().into())
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
