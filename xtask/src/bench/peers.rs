//! What is measured: how each peer is built and started, and what it leaves behind.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use super::receivers::Receivers;
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

/// A peer, and what is asked of it beside workload W.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) peer: Peer,
    pub(crate) workers: usize,
    /// Routes that are asked in turns.
    pub(crate) routes: usize,
    /// Series in the registry beside those of the requests.
    pub(crate) series: usize,
    /// Whether the handler opens a span and writes an event.
    pub(crate) nested: bool,
    /// Whether lines are pushed to Loki too.
    pub(crate) loki: bool,
}

/// What a peer leaves for a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signals {
    /// Whether `/metrics` counts it under our names.
    pub(crate) metric: bool,
    /// Lines on stdout.
    pub(crate) lines: u64,
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

    /// This peer on workload W.
    pub(crate) fn setup(self) -> Setup {
        Setup {
            peer: self,
            workers: 1,
            routes: 1,
            series: 0,
            nested: false,
            loki: false,
        }
    }

    /// Builds it in release mode under `target`.
    ///
    /// # Errors
    /// When cargo cannot be started or the build fails.
    pub(crate) fn build(self, root: &Path, target: &Path) -> Result<()> {
        match self {
            Self::Service => {
                let mut cargo = command(root, "cargo", &["build", "--release", "--package"]);
                cargo.arg(self.package()).arg("--target-dir").arg(target);
                ensure!(succeeds(&mut cargo)?, "build {}", self.name());
                Ok(())
            }
            Self::Bare | Self::Lean | Self::Usual | Self::SpanStandard | Self::SpanRecords => {
                build_package(self.package(), root, target)
            }
        }
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

impl Setup {
    /// The peer, and what differs from workload W.
    pub(crate) fn name(self) -> String {
        let mut name = self.peer.name().to_owned();
        for (word, differs) in [
            (format!(" {} workers", self.workers), self.workers > 1),
            (format!(" {} routes", self.routes), self.routes > 1),
            (format!(" {} series", self.series), self.series > 0),
            (" nested".to_owned(), self.nested),
            (" Loki".to_owned(), self.loki),
        ] {
            if differs {
                name.push_str(&word);
            }
        }
        name
    }

    pub(crate) fn signals(self) -> Signals {
        let nested = u64::from(self.nested);
        let (metric, lines, spans) = match self.peer {
            Peer::Bare => (false, 0, 0),
            Peer::Service | Peer::Lean => (true, 1 + nested, 1 + nested),
            // It tells of the start and the end of each span.
            Peer::Usual => (false, 2 + 3 * nested, 1 + nested),
            Peer::SpanStandard | Peer::SpanRecords => (false, 0, 1),
        };
        Signals { metric, lines, spans }
    }

    /// The command that starts it on a free port, exporting to `receivers`; nothing of the caller's environment
    /// reaches it.
    ///
    /// # Errors
    /// When the path of the build is not UTF-8.
    pub(crate) fn command(self, wrapper: &[String], target: &Path, receivers: &Receivers) -> Result<Command> {
        let binary = self.peer.target(target).join("release").join(self.peer.package());
        let binary = binary.to_str().context("read the path of the build as UTF-8")?;
        let program = [wrapper, &[binary.to_owned()]].concat();
        let (program, arguments) = program.split_first().context("name the program")?;
        let mut command = Command::new(program);
        // Away from the workspace, or its env files would be read.
        command.args(arguments).env_clear().current_dir(target);
        let endpoint = receivers.otlp.grpc_endpoint();
        match self.peer {
            Peer::Service => self.set_service(&mut command, &endpoint, receivers),
            Peer::Bare => {
                command.arg("127.0.0.1:0").args(self.arguments());
            }
            Peer::Lean | Peer::Usual => {
                command.args(["127.0.0.1:0", &endpoint]).args(self.arguments());
            }
            Peer::SpanStandard => {
                command.args(["127.0.0.1:0", &endpoint, "standard"]);
            }
            Peer::SpanRecords => {
                command.args(["127.0.0.1:0", &endpoint, "records"]);
            }
        }
        Ok(command)
    }

    fn set_service(self, command: &mut Command, endpoint: &str, receivers: &Receivers) {
        command
            .envs([
                ("ENVIRONMENT", "local"),
                ("HOST", "127.0.0.1"),
                ("PORT", "0"),
                ("SHUTDOWN_PRESTOP", "0"),
                ("SHUTDOWN_FLUSH", "20"),
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint),
                ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
            ])
            .env("WORKERS", self.workers.to_string());
        if self.loki {
            command
                .env("LOKI_ENABLED", "true")
                .env("LOKI_PUSH_URL", receivers.loki.push_url());
        }
    }

    /// What `workload::Shape` reads.
    fn arguments(self) -> [String; 4] {
        [
            format!("workers={}", self.workers),
            format!("routes={}", self.routes),
            format!("series={}", self.series),
            format!("nested={}", u8::from(self.nested)),
        ]
    }
}

/// Builds a package of the peers' workspace in release mode under `target`.
///
/// # Errors
/// When cargo cannot be started or the build fails.
pub(crate) fn build_package(package: &str, root: &Path, target: &Path) -> Result<()> {
    let mut cargo = command(
        &root.join("xtask/bench-peers"),
        "cargo",
        &["build", "--release", "--package", package],
    );
    cargo.arg("--target-dir").arg(target.join("bench-peers"));
    ensure!(succeeds(&mut cargo)?, "build {package}");
    Ok(())
}
