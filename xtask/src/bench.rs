//! `bench`: what a request costs on top of bare actix-web (workload W), how that grows, and what the service costs at
//! rest.

mod answer;
mod cores;
mod delivery;
mod document;
mod endurance;
mod estimate;
mod facts;
mod faults;
mod growth;
mod idle;
mod inference;
mod instructions;
mod judge;
mod latency;
mod limits;
mod load;
mod machine;
mod peers;
mod plot;
mod processor;
mod progress;
mod receivers;
mod report;
mod results;
mod run;
mod scrape;
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::command::{command, succeeds};
pub(crate) use document::document;
use machine::Watch;
use peers::{Peer, build_package};
use report::{Reading, Report};
use results::Results;

/// Connections of workload W.
const CONNECTIONS: usize = 32;

/// What `bench` measures, and how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rough figures in a fraction of the time.
    #[arg(long)]
    quick: bool,
    /// Measure these alone.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Measurement>,
    /// Peers to hold against bare where all of them are compared.
    #[arg(long, value_delimiter = ',', default_values = ["service", "lean", "usual"])]
    peers: Vec<Peer>,
    /// Measure what is built, whatever the sources say.
    #[arg(long)]
    no_build: bool,
    /// Length of the long run; 30 for the figure that the goal is about.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=24 * 60))]
    minutes: u64,
    /// Keep the figures in docs/performance.json, and write docs/PERFORMANCE.md and its plot.
    ///
    /// A run of all measurements replaces everything, one with --only its own rows.
    #[arg(long, conflicts_with = "quick")]
    write: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measurement {
    /// User-space instructions per request, by callgrind (Debian package valgrind).
    Instructions,
    /// The same with 500 routes and with 10,000 series.
    Growth,
    /// User-space instructions of a call of /v1/chat/completions, of a plain proxy's.
    Calls,
    /// CPU time per request and throughput, on two cores, and with Loki push.
    Cpu,
    /// CPU time per request with two workers.
    Workers,
    /// p99 at half of bare's highest rate, in an open loop.
    Latency,
    /// CPU time of a scrape of 10,000 and 100,000 series, and p99 while scraped.
    Scrape,
    /// First answer, resident memory and CPU without requests.
    Idle,
    /// CPU time of a line pushed to Loki and of a span exported, at 1,000, 10,000 and 50,000 a second.
    Delivery,
    /// p99 while a destination stands still, against the same run before.
    Faults,
    /// What a call of /v1/chat/completions costs on top of a plain proxy, and 1,000 open streams.
    Inference,
    /// CPU time and memory over minutes at full speed.
    Endurance,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Quick,
    Full,
}

/// What every measurement needs to know.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    root: &'a Path,
    /// The build folder.
    target: PathBuf,
    /// Bare first.
    peers: Vec<Peer>,
    scale: Scale,
    minutes: u64,
}

/// Measures and prints; `false` when the service is above a limit or its signals do not agree.
///
/// # Errors
/// When something cannot be built or a run fails.
pub(crate) fn bench(root: &Path, options: &Options) -> Result<bool> {
    let all = Measurement::value_variants();
    let chosen: Vec<_> = all
        .iter()
        .copied()
        .filter(|measurement| options.only.is_empty() || options.only.contains(measurement))
        .collect();
    if cfg!(debug_assertions) && chosen.iter().any(|measurement| measurement.is_timed()) {
        return in_release(root);
    }
    let peers = [Peer::Bare]
        .into_iter()
        .chain(options.peers.iter().copied().filter(|peer| *peer != Peer::Bare));
    let bench = Bench {
        root,
        target: target_directory()?,
        peers: peers.collect(),
        scale: if options.quick { Scale::Quick } else { Scale::Full },
        minutes: options.minutes,
    };
    if !options.no_build {
        bench.build(&chosen)?;
    }
    let report = bench.run(&chosen)?;
    if chosen.len() > 1 {
        report.print();
    }
    let passed = report.passed();
    if options.write {
        let mut results = Results::load(root)?;
        results.take(report.into_results(machine::facts()?), chosen.len() == all.len())?;
        results.save(root)?;
        for (name, text) in document(root)? {
            fs::write(root.join(name), text).with_context(|| format!("write {name}"))?;
            println!("wrote {name}");
        }
    }
    Ok(passed)
}

/// Holds the instructions of a request against bare, counted in the same run: of the service, which is built, and of the
/// middleware alone, without and with a span and an event in the handler. The same for a call of a model, against a
/// plain proxy.
///
/// # Errors
/// When a peer cannot be built, or a run fails.
pub(crate) fn instruction_gate(root: &Path, target: &Path) -> Result<bool> {
    let bench = Bench {
        root,
        target: target.to_owned(),
        peers: vec![Peer::Bare, Peer::Service, Peer::Lean],
        scale: Scale::Quick,
        minutes: 1,
    };
    Peer::Bare.build(root, target)?;
    Peer::Lean.build(root, target)?;
    for package in inference::PACKAGES {
        build_package(package, root, target)?;
    }
    Ok(bench
        .run(&[Measurement::Instructions, Measurement::Calls])?
        .passed())
}

impl Bench<'_> {
    fn run(&self, chosen: &[Measurement]) -> Result<Report> {
        let mut report = Report::default();
        for (index, measurement) in (1..).zip(chosen) {
            let name = measurement.name();
            println!("\n== {name} ({index} of {})", chosen.len());
            let (started, watch) = (Instant::now(), Watch::start()?);
            let reading = measurement
                .measure(self)
                .with_context(|| format!("measure {name}"))?;
            report.add(reading, watch.end()?);
            println!("== {name} took {:.0} s", started.elapsed().as_secs_f64());
        }
        Ok(report)
    }

    fn build(&self, chosen: &[Measurement]) -> Result<()> {
        let mut built = Vec::new();
        for peer in chosen.iter().flat_map(|measurement| measurement.peers(self)) {
            if !built.contains(&peer) {
                println!(".. build {}", peer.name());
                peer.build(self.root, &self.target)?;
                built.push(peer);
            }
        }
        for package in chosen.iter().flat_map(|measurement| measurement.packages()) {
            println!(".. build {package}");
            build_package(package, self.root, &self.target)?;
        }
        Ok(())
    }
}

impl Measurement {
    fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    /// Whether it measures time, which an unoptimised load would be too slow for.
    fn is_timed(self) -> bool {
        !matches!(self, Self::Instructions | Self::Growth | Self::Calls)
    }

    /// The peers it needs.
    fn peers(self, bench: &Bench<'_>) -> Vec<Peer> {
        match self {
            Self::Instructions | Self::Cpu | Self::Workers | Self::Idle => bench.peers.clone(),
            Self::Growth | Self::Scrape => vec![Peer::Bare, Peer::Lean],
            Self::Latency | Self::Endurance => vec![Peer::Bare, Peer::Service],
            Self::Calls | Self::Faults | Self::Inference => vec![Peer::Service],
            Self::Delivery => Vec::new(),
        }
    }

    /// What it needs of the peers' workspace besides.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Delivery => &[delivery::PACKAGE],
            Self::Calls | Self::Inference => &inference::PACKAGES,
            Self::Instructions
            | Self::Growth
            | Self::Cpu
            | Self::Workers
            | Self::Latency
            | Self::Scrape
            | Self::Idle
            | Self::Faults
            | Self::Endurance => &[],
        }
    }

    fn measure(self, bench: &Bench<'_>) -> Result<Reading> {
        match self {
            Self::Instructions => instructions::measure(bench),
            Self::Growth => growth::measure(bench),
            Self::Calls => inference::count(bench),
            Self::Cpu => processor::pinned(bench),
            Self::Workers => processor::two_workers(bench),
            Self::Latency => latency::measure(bench),
            Self::Scrape => scrape::measure(bench),
            Self::Idle => idle::measure(bench),
            Self::Delivery => delivery::measure(bench),
            Self::Faults => faults::measure(bench),
            Self::Inference => inference::measure(bench),
            Self::Endurance => endurance::measure(bench),
        }
    }
}

/// The load and the receivers must not be what is slow, so they are not run unoptimised.
fn in_release(root: &Path) -> Result<bool> {
    let mut again = command(
        root,
        "cargo",
        &["run", "--quiet", "--release", "--package", "xtask", "--"],
    );
    again.args(std::env::args_os().skip(1));
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
