//! User-space instructions of a call, which repeat where CPU time does not: one more parse of the body is seen, which
//! the limit of CPU time, with the system calls that both proxies make, would let through.

use std::time::Duration;

use anyhow::Result;

use super::super::instructions::{callgrind, require_valgrind, total};
use super::super::judge::Measured;
use super::super::load::{Load, Until};
use super::super::progress::Progress;
use super::super::receivers::Receivers;
use super::super::report::Reading;
use super::super::server::Server;
use super::super::{Bench, CONNECTIONS, Scale};
use super::ask::{Ask, check};
use super::proxy::{Proxy, start_provider};
use super::signals::Signals;

const WARM_UP: u64 = 200;

/// Counts both proxies' instructions.
///
/// # Errors
/// When valgrind is missing or a run fails.
pub(crate) fn measure(bench: &Bench<'_>) -> Result<Reading> {
    require_valgrind()?;
    let (few, many) = match bench.scale {
        Scale::Quick => (200, 1_200),
        Scale::Full => (1_000, 4_000),
    };
    let progress = Progress::start(Ask::ALL.len() * Proxy::ALL.len());
    progress.say(&format!(
        "Instructions per call (user space, callgrind; from {few} to {many} calls)"
    ));
    let mut reading = Reading::default();
    for ask in Ask::ALL {
        let mut counts = Vec::new();
        for proxy in Proxy::ALL {
            progress.step(&format!("{} {}", proxy.name(), ask.name()));
            let (base, _) = count(proxy, ask, few, bench)?;
            let (total, signals) = count(proxy, ask, many, bench)?;
            let per_call = total.saturating_sub(base) as f64 / (many - few) as f64;
            progress.say(&format!(
                "  {:<6} {:<14} {per_call:>9.0}   {}",
                ask.name(),
                proxy.name(),
                signals.map(|signals| signals.to_string()).unwrap_or_default()
            ));
            reading.agreed(signals.is_none_or(|signals| signals.agree()));
            counts.push(per_call);
        }
        if let [floor, service] = counts[..] {
            reading.put(Measured::once(ask.instructions(), service / floor));
        }
    }
    Ok(reading)
}

/// All instructions of one process that passes `WARM_UP + calls` calls on.
fn count(proxy: Proxy, ask: Ask, calls: u64, bench: &Bench<'_>) -> Result<(u64, Option<Signals>)> {
    let receivers = Receivers::start();
    let target = &bench.target;
    let provider = start_provider(target, Duration::ZERO)?;
    let name = format!("bench-{}-{}-{calls}.callgrind", proxy.name(), ask.name());
    let profile = target.join(name);
    let mut command = proxy.command(&callgrind(&profile), target, provider.address, &receivers)?;
    let server = Server::start(&mut command)?;
    let checked = check(server.address, provider.address)?;
    let mut load = Load::connect(server.address, CONNECTIONS)?.asking(ask.request());
    load.run(Until::Requests(WARM_UP))?;
    load.run(Until::Requests(calls))?;
    drop(load);
    let signals = match proxy {
        Proxy::Floor => {
            server.stop()?;
            None
        }
        Proxy::Service => Some(Signals::gather(
            checked + WARM_UP + calls,
            server,
            &receivers.otlp,
        )?),
    };
    Ok((total(&profile)?, signals))
}
