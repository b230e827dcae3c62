//! What a proxy adds to the time of an answer, on one connection.
//!
//! Every process is on the same core: one call at a time gives work to one of them at a time, and with a second core
//! the time to wake it would be what is measured.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gatewayz_testkit::otlp::Receiver;

use super::super::Scale;
use super::super::load::{Load, Until};
use super::super::processor::median_and_spread;
use super::super::server::Server;
use super::ask::{Ask, check};
use super::proxy::{Proxy, start_provider};
use super::verdict;

/// Most of the added time.
const MUST_MILLIS: f64 = 0.1;
/// Medians that are farther apart than this say nothing.
const SPREAD_MAX_MILLIS: f64 = 0.05;
const WARM_UP: u64 = 500;

/// Measures without a proxy, behind the floor and behind the service, and holds the service against the limit. The
/// processes start on the core of this thread.
///
/// # Errors
/// When a run fails.
pub(super) fn measure(target: &Path, scale: Scale) -> Result<bool> {
    let (rounds, run) = match scale {
        Scale::Quick => (3, Duration::from_millis(500)),
        Scale::Full => (7, Duration::from_secs(1)),
    };
    println!(
        "\nAdded p50 of a JSON call at one connection ({rounds} rounds of {run:?} on one core, less that of the provider)"
    );
    let receiver = Receiver::counting();
    let provider = start_provider(target, Duration::ZERO)?;
    let mut servers = Vec::new();
    for proxy in Proxy::ALL {
        let mut command = proxy.command(&[], target, provider.address, &receiver)?;
        let server = Server::start(&mut command)?;
        check(server.address, provider.address)?;
        servers.push(server);
    }
    let mut added = Proxy::ALL.map(|_| Vec::new());
    for _ in 0..rounds {
        let direct = p50_millis(provider.address, run)?;
        for (server, added) in servers.iter().zip(&mut added) {
            added.push(p50_millis(server.address, run)? - direct);
        }
    }
    let mut passed = true;
    for (proxy, added) in Proxy::ALL.into_iter().zip(added) {
        let (median, spread) = median_and_spread(added);
        let spread_millis = median * spread;
        print!(
            "  {:<14} {median:>+6.3} ms (spread {spread_millis:.3} ms)",
            proxy.name()
        );
        if proxy == Proxy::Floor {
            println!();
            continue;
        }
        if spread_millis > SPREAD_MAX_MILLIS {
            println!("   too noisy to judge: the limit of {MUST_MILLIS} ms");
            continue;
        }
        println!("   {} of {MUST_MILLIS} ms", verdict(median <= MUST_MILLIS));
        passed &= median <= MUST_MILLIS;
    }
    Ok(passed)
}

fn p50_millis(address: SocketAddr, run: Duration) -> Result<f64> {
    let mut load = Load::connect(address, 1)?.asking(Ask::Json.request());
    load.run(Until::Requests(WARM_UP))?;
    let mut latencies = load.latencies(Until::Time(Instant::now() + run))?;
    latencies.sort_unstable();
    let median = latencies.get(latencies.len() / 2).context("answer a call")?;
    Ok(median.as_secs_f64() * 1e3)
}
