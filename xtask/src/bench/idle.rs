//! The service at rest: time to the first answer, resident memory, CPU without requests.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gatewayz_testkit::http::Client;
use gatewayz_testkit::otlp::Receiver;

use super::Scale;
use super::peers::Peer;
use super::processor::used;
use super::server::Server;

/// Most time from the start of the process to its first answer.
const MUST_START: Duration = Duration::from_millis(100);
/// Most resident memory.
const MUST_RESIDENT_MIB: f64 = 20.0;
/// Most CPU time, as a share of one core.
const MUST_CPU: f64 = 0.002;
const STARTS: usize = 5;

/// Starts each peer and leaves it alone.
///
/// # Errors
/// When one does not start or `/proc` does not show it.
pub(crate) fn measure(target: &Path, peers: &[Peer], scale: Scale) -> Result<bool> {
    let rest = match scale {
        Scale::Quick => Duration::from_secs(2),
        Scale::Full => Duration::from_secs(5),
    };
    println!("\nAt rest ({STARTS} starts; {rest:?} idle)");
    let mut passed = true;
    for peer in peers {
        let receiver = Receiver::counting();
        let mut starts = Vec::new();
        for _ in 0..STARTS {
            let (server, took) = start(*peer, target, &receiver)?;
            server.stop()?;
            starts.push(took);
        }
        starts.sort();
        let took = starts.get(STARTS / 2).copied().unwrap_or_default();
        let (server, _) = start(*peer, target, &receiver)?;
        // What the first request started has ended by then.
        thread::sleep(Duration::from_secs(2));
        let before = used(server.id())?;
        thread::sleep(rest);
        let cpu = used(server.id())?.saturating_sub(before).as_secs_f64() / rest.as_secs_f64();
        let resident = resident_mib(server.id())?;
        server.stop()?;
        println!(
            "  {:<14} first answer after {:.0} ms, {resident:.1} MiB resident, {:.3} % of a core",
            peer.name(),
            took.as_secs_f64() * 1e3,
            cpu * 100.0
        );
        if *peer == Peer::Service {
            let within = took <= MUST_START && resident <= MUST_RESIDENT_MIB && cpu <= MUST_CPU;
            println!(
                "  {:<14} {}: at most {} ms, {MUST_RESIDENT_MIB:.0} MiB, {:.1} %",
                "",
                if within {
                    "within the limit"
                } else {
                    "ABOVE THE LIMIT"
                },
                MUST_START.as_millis(),
                MUST_CPU * 100.0
            );
            passed &= within;
        }
    }
    Ok(passed)
}

fn start(peer: Peer, target: &Path, receiver: &Receiver) -> Result<(Server, Duration)> {
    let started = Instant::now();
    let server = Server::start(&mut peer.command(&[], target, receiver)?)?;
    let answer = Client::connect(server.address)
        .and_then(|mut client| client.get("/api/users/1", &[]))
        .context("ask the server")?;
    let took = started.elapsed();
    ensure!(answer.status == 200, "ask the server: status {}", answer.status);
    Ok((server, took))
}

/// Resident memory of a process.
///
/// # Errors
/// When `/proc` does not show it.
pub(crate) fn resident_mib(process: u32) -> Result<f64> {
    let status =
        fs::read_to_string(format!("/proc/{process}/status")).context("read the memory of the server")?;
    let kib: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("find the resident memory of the server")?
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .context("read the resident memory of the server")?;
    Ok(kib / 1024.0)
}
