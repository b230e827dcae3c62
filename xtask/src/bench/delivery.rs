//! What a record costs from the push into the queue to the answer of its destination.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use gatewayz_testkit::{loki, otlp};

use super::Scale;
use super::processor::median_and_spread;
use crate::command::{command, succeeds};

const PACKAGE: &str = "delivery-cost";
/// Most CPU time of one record.
const MUST_MICROS: f64 = 2.0;
const RATES: [u64; 3] = [1_000, 10_000, 50_000];

/// Records of one process at one rate.
#[derive(Debug, Clone, Copy)]
struct Run {
    records: u64,
    delivered: u64,
    lost: u64,
    cpu_nanos: u64,
}

/// Where records go.
#[derive(Debug, Clone, Copy)]
enum Destination {
    None,
    Loki,
    Otlp,
}

/// Measures both destinations at each rate; `false` when one is above the limit or loses a record.
///
/// # Errors
/// When something cannot be built or a run fails.
pub(crate) fn measure(root: &Path, target: &Path, scale: Scale) -> Result<bool> {
    println!("\n.. build {PACKAGE}");
    let mut build = command(
        &root.join("xtask/bench-peers"),
        "cargo",
        &["build", "--release", "--package", PACKAGE],
    );
    build.arg("--target-dir").arg(target.join("bench-peers"));
    ensure!(succeeds(&mut build)?, "build {PACKAGE}");
    let (rounds, seconds) = match scale {
        Scale::Quick => (1, 2),
        Scale::Full => (3, 5),
    };
    println!(
        "\nCPU per record, from the queue to the answer ({rounds} rounds of {seconds} s, the pace itself taken off)"
    );
    let mut passed = true;
    for per_second in RATES {
        for destination in [Destination::Loki, Destination::Otlp] {
            let mut costs = Vec::new();
            let mut lost = 0;
            for _ in 0..rounds {
                let pace = run(target, Destination::None, per_second, seconds)?;
                let run = run(target, destination, per_second, seconds)?;
                costs.push(run.cpu_nanos.saturating_sub(pace.cpu_nanos) as f64 / 1e3 / run.records as f64);
                lost += run.lost + run.records.saturating_sub(run.delivered + run.lost);
            }
            let (median, spread) = median_and_spread(costs);
            let within = median <= MUST_MICROS && lost == 0;
            println!(
                "  {:<5} {per_second:>6}/s  {median:>5.2} us a {} (spread {:.0} %), {lost} lost   {}",
                destination.name(),
                destination.record(),
                spread * 100.0,
                if within {
                    "within the limit"
                } else {
                    "ABOVE THE LIMIT"
                }
            );
            passed &= within;
        }
    }
    println!("  the limit is {MUST_MICROS} us and none lost");
    Ok(passed)
}

fn run(target: &Path, destination: Destination, per_second: u64, seconds: u64) -> Result<Run> {
    let (loki, otlp) = (loki::Receiver::counting(), otlp::Receiver::counting());
    let url = match destination {
        Destination::None | Destination::Loki => loki.push_url(),
        Destination::Otlp => otlp.grpc_endpoint(),
    };
    let output = Command::new(target.join("bench-peers/release").join(PACKAGE))
        .args([
            destination.name(),
            &url,
            &per_second.to_string(),
            &seconds.to_string(),
        ])
        .env_clear()
        .output()
        .with_context(|| format!("start {PACKAGE}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{PACKAGE} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let figures: Vec<u64> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [records, delivered, lost, cpu_nanos] = figures[..] else {
        anyhow::bail!("read the figures of {PACKAGE}: {text}");
    };
    // The record that made the connection arrived too.
    let received = match destination {
        Destination::None => delivered,
        Destination::Loki => loki.line_count() as u64 - 1,
        Destination::Otlp => otlp.span_count() as u64 - 1,
    };
    ensure!(
        received == delivered,
        "{received} records arrived, {delivered} were counted"
    );
    Ok(Run {
        records,
        delivered,
        lost,
        cpu_nanos,
    })
}

impl Destination {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Loki => "loki",
            Self::Otlp => "otlp",
        }
    }

    fn record(self) -> &'static str {
        match self {
            Self::None | Self::Loki => "line",
            Self::Otlp => "span",
        }
    }
}
