//! What a proxy adds to the time of an answer, on one connection.
//!
//! Every process is on the same core: one call at a time gives work to one of them at a time, and with a second core
//! the time to wake it would be what is measured.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::super::estimate::Estimate;
use super::super::judge::Measured;
use super::super::limits::CALL_ADDED;
use super::super::load::{Load, Until, quantile_millis};
use super::super::progress::Progress;
use super::super::receivers::Receivers;
use super::super::report::Reading;
use super::super::server::Server;
use super::super::{Bench, Scale};
use super::ask::{Ask, check};
use super::proxy::{Proxy, start_provider};

const WARM_UP: u64 = 500;

/// Measures without a proxy, behind the floor and behind the service. The processes start on the core of this thread.
///
/// # Errors
/// When a run fails.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Reading> {
    let (rounds, run) = match bench.scale {
        Scale::Quick => (3, Duration::from_millis(500)),
        Scale::Full => (7, Duration::from_secs(1)),
    };
    let progress = Progress::start(rounds);
    progress.say(&format!(
        "Added p50 of a JSON call at one connection ({rounds} rounds of {run:?} on one core, less that of the provider)"
    ));
    let receivers = Receivers::start();
    let provider = start_provider(&bench.target, Duration::ZERO)?;
    let mut servers = Vec::new();
    for proxy in Proxy::ALL {
        let mut command = proxy.command(&[], &bench.target, provider.address, &receivers)?;
        let server = Server::start(&mut command)?;
        check(server.address, provider.address)?;
        servers.push(server);
    }
    let mut added = Proxy::ALL.map(|_| Vec::new());
    for round in 1..=rounds {
        progress.step(&format!("round {round}"));
        let direct = p50_millis(provider.address, run)?;
        for (server, added) in servers.iter().zip(&mut added) {
            added.push(p50_millis(server.address, run)? - direct);
        }
    }
    for (proxy, added) in Proxy::ALL.iter().zip(&added) {
        let estimate = Estimate::of(added.clone());
        progress.say(&format!(
            "  {:<14} {:>+6.3} ms (spread {:.0} %)",
            proxy.name(),
            estimate.median,
            estimate.spread() * 100.0
        ));
    }
    let [_, service] = added;
    let mut reading = Reading::default();
    reading.put(Measured::new(&CALL_ADDED, service));
    Ok(reading)
}

fn p50_millis(address: SocketAddr, run: Duration) -> Result<f64> {
    let mut load = Load::connect(address, 1)?.asking(Ask::Json.request());
    load.run(Until::Requests(WARM_UP))?;
    quantile_millis(load.latencies(Until::Time(Instant::now() + run))?, 0.5)
}
