//! What is measured: how each peer is built and started, and what it leaves behind.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use gatewayz_testkit::otlp::Receiver;

use crate::command::{command, succeeds};

/// A server that answers workload W.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// actix-web without telemetry, the floor.
    Bare,
    /// gatewayz-api with all three signals for every request.
    Service,
    /// The request middleware of gatewayz-telemetry around bare.
    Lean,
    /// The usual composition of the same packages.
    Usual,
    /// Bare with one span a request, through the SDK's batch processor and exporter.
    SpanStandard,
    /// Bare with one span a request, as a record encoded once.
    SpanRecords,
}

/// What a peer leaves for a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signals {
    /// Whether `/metrics` counts it under our names.
    pub(crate) metric: bool,
    /// Lines on stdout.
    pub(crate) lines: u64,
    /// Server spans.
    pub(crate) spans: u64,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Service => "gatewayz-api",
            Self::Lean => "lean",
            Self::Usual => "usual",
            Self::SpanStandard => "span-standard",
            Self::SpanRecords => "span-records",
        }
    }

    pub(crate) fn signals(self) -> Signals {
        let (metric, lines, spans) = match self {
            Self::Bare => (false, 0, 0),
            Self::Service | Self::Lean => (true, 1, 1),
            Self::Usual => (false, 2, 1),
            Self::SpanStandard | Self::SpanRecords => (false, 0, 1),
        };
        Signals { metric, lines, spans }
    }

    /// Builds it in release mode under `target`.
    ///
    /// # Errors
    /// When cargo cannot be started or the build fails.
    pub(crate) fn build(self, root: &Path, target: &Path) -> Result<()> {
        let mut cargo = match self {
            Self::Service => command(
                root,
                "cargo",
                &["build", "--release", "--package", "gatewayz-api"],
            ),
            Self::Bare | Self::Lean | Self::Usual | Self::SpanStandard | Self::SpanRecords => command(
                &root.join("xtask/bench-peers"),
                "cargo",
                &["build", "--release", "--package", self.package()],
            ),
        };
        cargo.arg("--target-dir").arg(self.target(target));
        ensure!(succeeds(&mut cargo)?, "build {}", self.name());
        Ok(())
    }

    /// The command that starts it on a free port with one worker, exporting to `receiver`; nothing of the caller's
    /// environment reaches it.
    pub(crate) fn command(self, wrapper: &[String], target: &Path, receiver: &Receiver) -> Result<Command> {
        let binary = self.target(target).join("release").join(self.package());
        let binary = binary.to_str().context("read the path of the build as UTF-8")?;
        let program = [wrapper, &[binary.to_owned()]].concat();
        let (program, arguments) = program.split_first().context("name the program")?;
        let mut command = Command::new(program);
        // Away from the workspace, or its env files would be read.
        command.args(arguments).env_clear().current_dir(target);
        let endpoint = receiver.grpc_endpoint();
        match self {
            Self::Service => {
                command.envs([
                    ("ENVIRONMENT", "local"),
                    ("HOST", "127.0.0.1"),
                    ("PORT", "0"),
                    ("WORKERS", "1"),
                    ("SHUTDOWN_PRESTOP", "0"),
                    ("SHUTDOWN_FLUSH", "20"),
                    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &endpoint),
                    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
                ]);
            }
            Self::Bare => {
                command.arg("127.0.0.1:0");
            }
            Self::Lean | Self::Usual => {
                command.args(["127.0.0.1:0", &endpoint]);
            }
            Self::SpanStandard => {
                command.args(["127.0.0.1:0", &endpoint, "standard"]);
            }
            Self::SpanRecords => {
                command.args(["127.0.0.1:0", &endpoint, "records"]);
            }
        }
        Ok(command)
    }

    fn package(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Service => "gatewayz-api",
            Self::Lean => "lean",
            Self::Usual => "usual",
            Self::SpanStandard | Self::SpanRecords => "span-export",
        }
    }

    fn target(self, target: &Path) -> PathBuf {
        match self {
            Self::Service => target.to_owned(),
            Self::Bare | Self::Lean | Self::Usual | Self::SpanStandard | Self::SpanRecords => {
                target.join("bench-peers")
            }
        }
    }
}
