//! Whether a request notices that a destination of its telemetry stands still.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gatewayz_testkit::process::{Output, Service};
use gatewayz_testkit::proxy::{Fault, Proxy};
use gatewayz_testkit::{loki, otlp};

use super::Scale;
use super::load::{Load, Until};
use super::peers::Peer;
use super::processor::median_and_spread;

const CONNECTIONS: usize = 16;
const START: Duration = Duration::from_secs(20);
/// The goal: p99 at most this multiple of that without the fault, and this much more.
const GOAL_RATIO: f64 = 1.2;
const GOAL_EXTRA_MILLIS: f64 = 2.0;

#[derive(Debug, Clone, Copy)]
enum Trouble {
    StdoutStopped,
    LokiHangs,
    OtlpHangs,
    BothRefuse,
}

/// Reports the p99 of each trouble; it judges nothing, because a busy machine would.
///
/// # Errors
/// When the service cannot be built or does not answer.
pub(crate) fn measure(root: &Path, target: &Path, scale: Scale) -> Result<bool> {
    Peer::Service.build(root, target)?;
    let (rounds, run) = match scale {
        Scale::Quick => (1, Duration::from_secs(1)),
        Scale::Full => (5, Duration::from_secs(3)),
    };
    println!(
        "\np99 of a request while a destination stands still ({CONNECTIONS} connections, {rounds} rounds of {run:?} before and {run:?} during)"
    );
    for trouble in [
        Trouble::StdoutStopped,
        Trouble::LokiHangs,
        Trouble::OtlpHangs,
        Trouble::BothRefuse,
    ] {
        let (mut before, mut during) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (well, troubled) = p99(target, trouble, run)?;
            before.push(well);
            during.push(troubled);
        }
        let ((before, _), (during, _)) = (median_and_spread(before), median_and_spread(during));
        let met = during <= before * GOAL_RATIO + GOAL_EXTRA_MILLIS;
        println!(
            "  {:<34} {before:>6.2} ms before, {during:>6.2} ms during   goal of {GOAL_RATIO} x + {GOAL_EXTRA_MILLIS} ms {}",
            trouble.name(),
            if met { "met" } else { "NOT met" }
        );
    }
    Ok(true)
}

/// Milliseconds before and during the trouble.
fn p99(target: &Path, trouble: Trouble, run: Duration) -> Result<(f64, f64)> {
    let (loki, otlp) = (loki::Receiver::counting(), otlp::Receiver::counting());
    let loki_proxy = Proxy::start(loki.address());
    let otlp_proxy = Proxy::start(otlp.grpc_address());
    let push_url = format!("http://{}", loki_proxy.address());
    let endpoint = format!("http://{}", otlp_proxy.address());
    let service = Service::start_with(
        &target.join("release/gatewayz-api"),
        &[],
        &[
            ("PORT", "0"),
            ("WORKERS", "1"),
            ("LOKI_ENABLED", "true"),
            ("LOKI_PUSH_URL", &push_url),
            ("TEMPO_OTLP_GRPC_ENDPOINT", &endpoint),
        ],
        target,
        Output::Read,
    )?;
    let mut load = Load::connect(service.wait_for_address(START)?, CONNECTIONS)?;
    let mut measure = || -> Result<f64> {
        let mut latencies = load.latencies(Until::Time(Instant::now() + run))?;
        latencies.sort_unstable();
        let p99 = latencies
            .get(latencies.len() * 99 / 100)
            .context("answer a request")?;
        Ok(p99.as_secs_f64() * 1e3)
    };
    measure()?;
    let before = measure()?;
    match trouble {
        Trouble::StdoutStopped => service.hold_stdout(),
        Trouble::LokiHangs => loki_proxy.set(Fault::Hang),
        Trouble::OtlpHangs => otlp_proxy.set(Fault::Hang),
        Trouble::BothRefuse => {
            loki_proxy.set(Fault::Refuse);
            otlp_proxy.set(Fault::Refuse);
        }
    }
    let during = measure()?;
    ensure!(before > 0.0, "measure the answers");
    Ok((before, during))
}

impl Trouble {
    fn name(self) -> &'static str {
        match self {
            Self::StdoutStopped => "the reader of stdout stops",
            Self::LokiHangs => "Loki hangs",
            Self::OtlpHangs => "the collector hangs",
            Self::BothRefuse => "Loki and the collector are gone",
        }
    }
}
