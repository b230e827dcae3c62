//! What a record costs from the push into the queue to the answer of its destination.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use gatewayz_testkit::{loki, otlp};

use super::estimate::median;
use super::judge::Measured;
use super::limits::{Figure, LOKI_1K, LOKI_10K, LOKI_50K, OTLP_1K, OTLP_10K, OTLP_50K};
use super::progress::Progress;
use super::report::Reading;
use super::{Bench, Scale};

pub(crate) const PACKAGE: &str = "delivery-cost";
const FIGURES: [(Destination, u64, &Figure); 6] = [
    (Destination::Loki, 1_000, &LOKI_1K),
    (Destination::Otlp, 1_000, &OTLP_1K),
    (Destination::Loki, 10_000, &LOKI_10K),
    (Destination::Otlp, 10_000, &OTLP_10K),
    (Destination::Loki, 50_000, &LOKI_50K),
    (Destination::Otlp, 50_000, &OTLP_50K),
];

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

/// Measures both destinations at each rate.
///
/// # Errors
/// When a run fails.
pub(crate) fn measure(bench: &Bench<'_>) -> Result<Reading> {
    let (rounds, seconds) = match bench.scale {
        Scale::Quick => (1, 2),
        // The pace alone costs about as much as a thousand records a second do: few rounds would tell of chance.
        Scale::Full => (9, 4),
    };
    let progress = Progress::start(FIGURES.len() * rounds);
    progress.say(&format!(
        "CPU per record, from the queue to the answer ({rounds} rounds of {seconds} s, the pace itself taken off)"
    ));
    let mut reading = Reading::default();
    for (destination, per_second, figure) in FIGURES {
        let mut costs = Vec::new();
        let mut lost = 0;
        for round in 1..=rounds {
            progress.step(&format!("round {round}, {} {per_second}/s", destination.name()));
            let pace = run(&bench.target, Destination::None, per_second, seconds)?;
            let run = run(&bench.target, destination, per_second, seconds)?;
            costs.push(run.cpu_nanos.saturating_sub(pace.cpu_nanos) as f64 / 1e3 / run.records as f64);
            lost += run.lost + run.records.saturating_sub(run.delivered + run.lost);
        }
        progress.say(&format!(
            "  {:<5} {per_second:>6}/s  {:>5.2} us a {}, {lost} lost",
            destination.name(),
            median(costs.clone()),
            destination.record(),
        ));
        reading.agreed(lost == 0);
        reading.put(Measured::new(figure, costs));
    }
    Ok(reading)
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
