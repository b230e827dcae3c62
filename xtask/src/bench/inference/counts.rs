//! User-space instructions of a call, which repeat where CPU time does not. They say where time goes; the limit is one
//! of CPU time, which has the system calls in it that both proxies make.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use gatewayz_testkit::otlp::Receiver;

use super::super::instructions::{callgrind, require_valgrind, total};
use super::super::load::{Load, Until};
use super::super::server::Server;
use super::super::{CONNECTIONS, Scale};
use super::ask::{Ask, check};
use super::proxy::{Proxy, start_provider};
use super::signals::Signals;

const WARM_UP: u64 = 200;

/// Counts both proxies' instructions; `false` when the signals do not agree.
///
/// # Errors
/// When valgrind is missing or a run fails.
pub(super) fn measure(target: &Path, scale: Scale) -> Result<bool> {
    require_valgrind()?;
    let (few, many) = match scale {
        Scale::Quick => (200, 1_200),
        Scale::Full => (1_000, 5_000),
    };
    println!("\nInstructions per call (user space, callgrind; from {few} to {many} calls)");
    let mut passed = true;
    for ask in Ask::ALL {
        let mut floor = None;
        for proxy in Proxy::ALL {
            let (base, _) = count(proxy, ask, few, target)?;
            let (total, signals) = count(proxy, ask, many, target)?;
            let per_call = total.saturating_sub(base) as f64 / (many - few) as f64;
            let floor = *floor.get_or_insert(per_call);
            println!(
                "  {:<6} {:<14} {per_call:>9.0}  {:>5.2} x   {}",
                ask.name(),
                proxy.name(),
                per_call / floor,
                signals.map(|signals| signals.to_string()).unwrap_or_default()
            );
            passed &= signals.is_none_or(|signals| signals.agree());
        }
    }
    Ok(passed)
}

/// All instructions of one process that passes `WARM_UP + calls` calls on.
fn count(proxy: Proxy, ask: Ask, calls: u64, target: &Path) -> Result<(u64, Option<Signals>)> {
    let receiver = Receiver::counting();
    let provider = start_provider(target, Duration::ZERO)?;
    let name = format!("bench-{}-{}-{calls}.callgrind", proxy.name(), ask.name());
    let profile = target.join(name);
    let mut command = proxy.command(&callgrind(&profile), target, provider.address, &receiver)?;
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
        Proxy::Service => Some(Signals::gather(checked + WARM_UP + calls, server, &receiver)?),
    };
    Ok((total(&profile)?, signals))
}
