//! `bench`: what a request costs on top of bare actix-web (workload W), and what the service costs at rest.

mod answer;
mod delivery;
mod facts;
mod faults;
mod idle;
mod inference;
mod instructions;
mod load;
mod peers;
mod processor;
mod server;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::command::{command, succeeds};
use peers::Peer;

/// Connections of workload W.
const CONNECTIONS: usize = 32;

/// What `bench` measures, and how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A rough figure in a fraction of the time.
    #[arg(long)]
    quick: bool,
    /// Measure this alone.
    #[arg(long)]
    only: Option<Measurement>,
    /// Peers to hold against bare.
    #[arg(long, value_delimiter = ',', default_values = ["service", "usual"])]
    peers: Vec<Peer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measurement {
    /// User-space instructions per request, by callgrind (Debian package valgrind).
    Instructions,
    /// CPU time per request and throughput, on two cores.
    Cpu,
    /// CPU time of a line pushed to Loki and of a span exported, at 1,000, 10,000 and 50,000 a second.
    Delivery,
    /// p99 while a destination stands still, against the same run before.
    Faults,
    /// First answer, resident memory and CPU without requests.
    Idle,
    /// What a call of /v1/chat/completions costs on top of a plain proxy, and 1,000 open streams.
    Inference,
}

#[derive(Debug, Clone, Copy)]
enum Scale {
    Quick,
    Full,
}

/// Measures and prints; `false` when the service is above a limit or its signals do not agree.
///
/// # Errors
/// When something cannot be built or a run fails.
pub(crate) fn bench(root: &Path, options: &Options) -> Result<bool> {
    if cfg!(debug_assertions) {
        return in_release(root, options);
    }
    let target = target_directory()?;
    let peers: Vec<Peer> = [Peer::Bare]
        .into_iter()
        .chain(options.peers.iter().copied().filter(|peer| *peer != Peer::Bare))
        .collect();
    for peer in &peers {
        println!(".. build {}", peer.name());
        peer.build(root, &target)?;
    }
    let scale = if options.quick { Scale::Quick } else { Scale::Full };
    let wanted = |measurement| options.only.is_none_or(|only| only == measurement);
    let mut passed = true;
    if wanted(Measurement::Instructions) {
        passed &= instructions::measure(&target, &peers, scale)?;
    }
    if wanted(Measurement::Cpu) {
        passed &= processor::measure(&target, &peers, scale)?;
    }
    if wanted(Measurement::Idle) {
        passed &= idle::measure(&target, &peers, scale)?;
    }
    if wanted(Measurement::Delivery) {
        passed &= delivery::measure(root, &target, scale)?;
    }
    if wanted(Measurement::Faults) {
        passed &= faults::measure(root, &target, scale)?;
    }
    if wanted(Measurement::Inference) {
        passed &= inference::measure(root, &target, scale)?;
    }
    Ok(passed)
}

/// The load and the receiver of spans must not be what is slow, so they are not run unoptimised.
fn in_release(root: &Path, options: &Options) -> Result<bool> {
    let mut again = command(
        root,
        "cargo",
        &["run", "--quiet", "--release", "--package", "xtask", "--", "bench"],
    );
    if options.quick {
        again.arg("--quick");
    }
    let name = |value: Option<clap::builder::PossibleValue>| value.map(|value| value.get_name().to_owned());
    if let Some(only) = options.only.and_then(|only| name(only.to_possible_value())) {
        again.args(["--only", &only]);
    }
    let peers: Vec<_> = options
        .peers
        .iter()
        .filter_map(|peer| name(peer.to_possible_value()))
        .collect();
    again.args(["--peers", &peers.join(",")]);
    println!(".. build the load generator");
    succeeds(&mut again)
}

/// The build folder that this program lies in, `target` unless somebody chose another.
fn target_directory() -> Result<PathBuf> {
    let program = std::env::current_exe().context("find this program")?;
    let target = program
        .parent()
        .and_then(Path::parent)
        .context("find the build folder")?;
    Ok(target.to_owned())
}
