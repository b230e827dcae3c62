//! `test`: `ci`, then every test and doctest, with one line of numbers at the end.

mod counts;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{answers, command, show_and_keep, succeeds};
use crate::steps::{Outcome, Report};
use crate::{bench, ci, scratch, tools};
use counts::Counts;

/// Runs everything and returns whether nothing failed.
///
/// # Errors
/// When the file for skipped tests cannot be made or read.
pub(crate) fn test(root: &Path, install: bool, all: bool) -> Result<bool> {
    let skip_file = scratch(root).join("skipped-tests.txt");
    fs::create_dir_all(scratch(root)).context("create target/")?;
    fs::write(&skip_file, "").with_context(|| format!("write {}", skip_file.display()))?;

    let mut report = Report::default();
    report.run("prometheus", || tools::prometheus(root, install));
    report.run("python", || tools::python_environment(root, install));
    report.run("node", || tools::node_packages(root, install));
    report.run("valgrind", || tools::valgrind(root, install));
    // The tests that miss a tool skip themselves and are counted then.
    let missing_tools = report.skipped_count();
    ci::steps(&mut report, root, install);
    if all {
        ci::oldest_rust(&mut report, root, install);
    }

    // Faults are measured on what is deployed; a debug build would be slower and larger than it.
    report.run("release", || build_release(root));
    report.run("instructions", || instructions(root));
    let (python, node) = (tools::python(root), tools::node(root));
    let with_tools = |mut command: Command| {
        command.env("GATEWAYZ_SKIP_FILE", &skip_file);
        command.env("GATEWAYZ_API_BINARY", release_binary(root));
        if let Some(python) = &python {
            command.env("GATEWAYZ_PYTHON", python);
        }
        if let Some(node) = &node {
            command.env("GATEWAYZ_NODE", node);
        }
        command
    };
    let mut counts = Counts {
        failed: report.failed_count(),
        skipped: report.skipped_count() - missing_tools,
        ..Counts::default()
    };
    report.run("tests", || counted(with_tools(tests(root, all)), &mut counts));
    report.run("doctests", || {
        counted(
            with_tools(command(
                root,
                "cargo",
                &["test", "--locked", "--workspace", "--doc"],
            )),
            &mut counts,
        )
    });

    let skip_lines =
        fs::read_to_string(&skip_file).with_context(|| format!("read {}", skip_file.display()))?;
    counts.move_to_skipped(skip_lines.lines().count());
    print!("{}{skip_lines}", report.table());
    println!();
    println!("{counts}");
    Ok(report.failed_count() == 0)
}

fn build_release(root: &Path) -> Result<Outcome> {
    let mut build = command(
        root,
        "cargo",
        &["build", "--locked", "--release", "--package", "gatewayz-api"],
    );
    build.arg("--target-dir").arg(scratch(root));
    Ok(succeeds(&mut build)?.into())
}

fn instructions(root: &Path) -> Result<Outcome> {
    match tools::valgrind(root, false)? {
        Outcome::Skipped(reason) => Ok(Outcome::Skipped(reason)),
        Outcome::Passed | Outcome::Failed => Ok(bench::instruction_gate(root, &scratch(root))?.into()),
    }
}

fn release_binary(root: &Path) -> PathBuf {
    scratch(root).join("release/gatewayz-api")
}

fn tests(root: &Path, all: bool) -> Command {
    if answers("cargo", &["nextest", "--version"]) {
        let mut nextest = command(
            root,
            "cargo",
            &["nextest", "run", "--locked", "--workspace", "--no-fail-fast"],
        );
        nextest.args(["--color", "never"]);
        if all {
            nextest.args(["--run-ignored", "all"]);
        }
        return nextest;
    }
    let mut test = command(
        root,
        "cargo",
        &[
            "test",
            "--locked",
            "--workspace",
            "--all-targets",
            "--no-fail-fast",
        ],
    );
    if all {
        test.args(["--", "--include-ignored"]);
    }
    test
}

fn counted(mut command: Command, counts: &mut Counts) -> Result<Outcome> {
    let (status, text) = show_and_keep(&mut command)?;
    counts.add_run(&text, status.success());
    Ok(status.success().into())
}
