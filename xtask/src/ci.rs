//! `ci`: everything that can be checked without running a test.

use std::path::Path;

use anyhow::Result;

use crate::command::{command, succeeds};
use crate::steps::{Outcome, Report};
use crate::{codegen, scratch, tidy, tools};

/// Runs every step, prints the table, and returns whether none failed.
pub(crate) fn ci(root: &Path, install: bool) -> bool {
    let mut report = Report::default();
    steps(&mut report, root, install);
    oldest_rust(&mut report, root, install);
    print!("{}", report.table());
    report.failed_count() == 0
}

/// The steps themselves, for a caller that adds its own.
pub(crate) fn steps(report: &mut Report, root: &Path, install: bool) {
    report.run("fmt", || cargo(root, &["fmt", "--all", "--", "--check"]));
    report.run("clippy", || {
        cargo(
            root,
            &[
                "clippy",
                "--locked",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ],
        )
    });
    report.run("doc", || {
        let arguments = [
            "doc",
            "--locked",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ];
        Ok(succeeds(command(root, "cargo", &arguments).env("RUSTDOCFLAGS", "-D warnings"))?.into())
    });
    report.run("deny", || deny(root, install));
    report.run("tidy", || Ok(tidy::tidy(root)?.into()));
    report.run("codegen", || Ok(codegen::check(root)?.into()));
}

/// Builds everything with the oldest Rust that the manifest promises. A second toolchain has to compile the whole graph
/// for it, so it is no part of every test run.
pub(crate) fn oldest_rust(report: &mut Report, root: &Path, install: bool) {
    report.run("oldest-rust", || {
        let version = tools::rust_version(root)?;
        if let Some(reason) = tools::missing_toolchain(root, &version, install)? {
            return Ok(Outcome::Skipped(reason));
        }
        let arguments = [
            "run",
            &version,
            "cargo",
            "check",
            "--locked",
            "--workspace",
            "--all-targets",
        ];
        let mut check = command(root, "rustup", &arguments);
        // Two compilers in one folder would take turns in throwing away what they share.
        check.arg("--target-dir").arg(scratch(root).join("oldest-rust"));
        Ok(succeeds(&mut check)?.into())
    });
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<Outcome> {
    Ok(succeeds(&mut command(root, "cargo", arguments))?.into())
}

fn deny(root: &Path, install: bool) -> Result<Outcome> {
    if let Some(reason) = tools::missing_cargo_deny(root, install)? {
        return Ok(Outcome::Skipped(reason));
    }
    // Advisories are left out: they need a database from the network and change without a commit. An allowance
    // for a crate that is not in the graph yet is no mistake.
    let checks = [
        "check",
        "--allow",
        "unused-wrapper",
        "bans",
        "licenses",
        "sources",
    ];
    cargo(
        root,
        &[["deny", "--locked", "--offline"].as_slice(), &checks].concat(),
    )
}
