//! Python and Node with the packages that tests use, as `cargo xtask test --install` leaves them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The Python to use: `GATEWAYZ_PYTHON`, else the one in `target/venv` of the checkout; `None` without either.
#[must_use]
pub fn python() -> Option<PathBuf> {
    named("GATEWAYZ_PYTHON").or_else(|| existing("venv/bin/python"))
}

/// The same when it has these packages; their code is not run.
///
/// # Errors
/// A reason to skip.
pub fn python_with(packages: &[&str]) -> Result<PathBuf, String> {
    let python = python().ok_or("neither GATEWAYZ_PYTHON nor target/venv has a Python")?;
    let find = "import importlib.util, sys; sys.exit(None in map(importlib.util.find_spec, sys.argv[1:]))";
    let is_there = Command::new(&python)
        .args(["-c", find])
        .args(packages)
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !is_there {
        return Err(format!("Python has not all of {}", packages.join(", ")));
    }
    Ok(python)
}

/// The `node_modules` with these packages: in `GATEWAYZ_NODE`, else in `target/node` of the checkout.
///
/// # Errors
/// A reason to skip.
pub fn node_modules_with(packages: &[&str]) -> Result<PathBuf, String> {
    let folder = named("GATEWAYZ_NODE").or_else(|| existing("node"));
    let modules = folder
        .ok_or("neither GATEWAYZ_NODE nor target/node is there")?
        .join("node_modules");
    if !packages.iter().all(|package| modules.join(package).exists()) {
        return Err(format!("Node has not all of {}", packages.join(", ")));
    }
    Ok(modules)
}

/// The full path of a program on the PATH; `None` without one.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let path = named("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

fn existing(in_target: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let path = target.join(in_target);
    path.exists().then_some(path)
}

#[expect(
    clippy::disallowed_methods,
    reason = "which tools to use is the choice of who runs the tests"
)]
fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(OsString::into)
}
