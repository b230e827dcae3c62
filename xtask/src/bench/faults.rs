//! Whether a request notices that a destination of its telemetry stands still.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use gatewayz_testkit::process::{Output, Service};
use gatewayz_testkit::proxy::{Fault, Proxy};
use gatewayz_testkit::{loki, otlp};

use super::estimate::median;
use super::judge::Measured;
use super::limits::{FAULT_BOTH, FAULT_LOKI, FAULT_OTLP, FAULT_STDOUT, Figure};
use super::load::{Load, Until, quantile_millis};
use super::progress::Progress;
use super::report::Reading;
use super::{Bench, Scale};

const CONNECTIONS: usize = 16;
const START: Duration = Duration::from_secs(20);
/// What the p99 may grow by; the figure is what is above.
const RATIO: f64 = 1.2;

#[derive(Debug, Clone, Copy)]
enum Trouble {
    StdoutStopped,
    LokiHangs,
    OtlpHangs,
    BothRefuse,
}

/// Measures each trouble.
///
/// # Errors
/// When the service does not answer.
pub(crate) fn measure(bench: &Bench<'_>) -> Result<Reading> {
    let (rounds, run) = match bench.scale {
        Scale::Quick => (1, Duration::from_secs(1)),
        Scale::Full => (5, Duration::from_secs(2)),
    };
    let progress = Progress::start(Trouble::ALL.len() * rounds);
    progress.say(&format!(
        "p99 of a request while a destination stands still ({CONNECTIONS} connections, {rounds} rounds of {run:?} \
         before and {run:?} during)"
    ));
    let mut reading = Reading::default();
    for trouble in Trouble::ALL {
        let (mut before, mut during) = (Vec::new(), Vec::new());
        for round in 1..=rounds {
            progress.step(&format!("round {round}, {}", trouble.name()));
            let (well, troubled) = p99(&bench.target, trouble, run)?;
            before.push(well);
            during.push(troubled);
        }
        let (before, during) = (median(before), median(during));
        progress.say(&format!(
            "  {:<34} {before:>6.2} ms before, {during:>6.2} ms during",
            trouble.name()
        ));
        // Nobody minds a trouble that makes requests faster.
        let above = (during - before * RATIO).max(0.0);
        reading.put(Measured::once(trouble.figure(), above));
    }
    Ok(reading)
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
    let mut measure = || quantile_millis(load.latencies(Until::Time(Instant::now() + run))?, 0.99);
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
    const ALL: [Self; 4] = [
        Self::StdoutStopped,
        Self::LokiHangs,
        Self::OtlpHangs,
        Self::BothRefuse,
    ];

    fn figure(self) -> &'static Figure {
        match self {
            Self::StdoutStopped => &FAULT_STDOUT,
            Self::LokiHangs => &FAULT_LOKI,
            Self::OtlpHangs => &FAULT_OTLP,
            Self::BothRefuse => &FAULT_BOTH,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::StdoutStopped => "the reader of stdout stops",
            Self::LokiHangs => "Loki hangs",
            Self::OtlpHangs => "the collector hangs",
            Self::BothRefuse => "Loki and the collector are gone",
        }
    }
}
