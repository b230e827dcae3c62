//! Development tasks: `cargo xtask --help` lists them.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks to its user"
)]

mod bench;
mod ci;
mod codegen;
mod command;
mod dev;
mod http;
mod load;
mod stack;
mod steps;
mod test;
mod tidy;
mod tools;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Development tasks of the Gatewayz workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Check everything that needs no test run: format, lints, docs, dependencies, tidiness, generated files, and the
    /// oldest Rust.
    ///
    /// Every step runs even when an earlier one fails; a table at the end shows all of them. Exits 1 when any
    /// step failed.
    Ci {
        /// Install cargo-deny and the oldest Rust when they are missing, instead of skipping their steps.
        #[arg(long)]
        install: bool,
    },
    /// Run `ci`, then every test and doctest.
    ///
    /// The last line of the output is `N passed, N failed, N skipped`. A test that misses a tool (Prometheus,
    /// Python's OpenMetrics parser, OpenAI's SDKs) skips itself and is named at the end. Exits 1 when anything failed.
    Test {
        /// Install what the checks need: cargo-deny, Prometheus (Debian, as root), Python packages in target/venv,
        /// Node packages in target/node.
        #[arg(long)]
        install: bool,
        /// Run the slow tests too, those marked `#[ignore]`, and build with the oldest Rust.
        #[arg(long)]
        all: bool,
    },
    /// Check the rules that no compiler checks: layers, file lengths, manifests, links, metric names.
    Tidy,
    /// Write docs/CONFIGURATION.md, docs/METRICS.md, docs/openapi.json and the dashboards from the code.
    Codegen {
        /// Write nothing; fail when a committed file differs from what the code says.
        #[arg(long)]
        check: bool,
    },
    /// Measure what a request costs on top of bare actix-web, how that grows, and the service at rest.
    ///
    /// Workload W: GET /api/users/{id} on 32 keep-alive connections, one worker, release build, every request with
    /// its metric, its JSON line on stdout and its span over OTLP/gRPC. Builds all peers first. The machine should
    /// have nothing else to do; times that something else disturbed are shown and not judged. Exits 1 when a figure
    /// is above its limit or signals disagree. docs/PERFORMANCE.md has the figures and how to read them.
    Bench(bench::Options),
    /// Make traffic, so that dashboards live: routes, mistakes, completions and streams at a steady rate.
    ///
    /// The rate holds however slow the answers are. Ctrl-C ends it with a summary. Exits 1 when the service cannot be
    /// reached.
    Load(load::Options),
    /// Check a running stack from outside: the service, Prometheus, Loki, Tempo, Grafana.
    ///
    /// Makes traffic, waits for it to show up (about two minutes when something is missing), and prints the
    /// checklist with the evidence for each tick and the reason for each cross. Exits 1 on any cross.
    Verify(Box<verify::Options>),
    /// Prepare this machine for the stack of docker-compose.yml.
    Stack {
        #[command(subcommand)]
        step: stack::Step,
    },
    /// Run the service with ENVIRONMENT=local and restart it whenever its sources change.
    Dev {
        /// Arguments for gatewayz-api, after `--`.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let root = &workspace_root();
    let succeeded = match Arguments::parse().task {
        Task::Ci { install } => Ok(ci::ci(root, install)),
        Task::Test { install, all } => test::test(root, install, all),
        Task::Tidy => tidy::tidy(root),
        Task::Codegen { check: true } => codegen::check(root),
        Task::Codegen { check: false } => codegen::write(root),
        Task::Bench(options) => bench::bench(root, &options),
        Task::Load(options) => load::load(&options),
        Task::Verify(options) => verify::verify(root, &options),
        Task::Stack { step } => stack::stack(root, step),
        Task::Dev { arguments } => dev::dev(root, &arguments),
    };
    match succeeded {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Cargo says where it runs the tasks from; the place of the build may have moved since.
#[expect(
    clippy::disallowed_methods,
    reason = "this variable is cargo's and no setting"
)]
fn workspace_root() -> PathBuf {
    let built_in = || PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut root = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(built_in, PathBuf::from);
    root.pop();
    root
}

/// Where tools and scratch files of the tasks live; cleaned by `cargo clean`.
fn scratch(root: &Path) -> PathBuf {
    root.join("target")
}
