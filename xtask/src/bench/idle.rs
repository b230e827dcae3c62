//! The service at rest: time to the first answer, resident memory, CPU without requests.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gatewayz_testkit::http::Client;

use super::cores::used;
use super::estimate::median;
use super::judge::Measured;
use super::limits::{IDLE_CPU, RESIDENT, START};
use super::peers::Peer;
use super::progress::Progress;
use super::receivers::Receivers;
use super::report::Reading;
use super::server::Server;
use super::{Bench, Scale};

const STARTS: usize = 5;
/// What the first request started has ended by then.
const SETTLE: Duration = Duration::from_secs(2);

/// Starts each peer and leaves it alone.
///
/// # Errors
/// When one does not start or `/proc` does not show it.
pub(crate) fn measure(bench: &Bench<'_>) -> Result<Reading> {
    let rest = match bench.scale {
        Scale::Quick => Duration::from_secs(2),
        Scale::Full => Duration::from_secs(10),
    };
    let progress = Progress::start(bench.peers.len());
    progress.say(&format!("At rest ({STARTS} starts; {rest:?} idle)"));
    let mut reading = Reading::default();
    for peer in &bench.peers {
        progress.step(peer.name());
        let receivers = Receivers::start();
        let mut starts = Vec::new();
        for _ in 0..STARTS {
            let (server, took) = start(*peer, bench, &receivers)?;
            server.stop()?;
            starts.push(took.as_secs_f64() * 1e3);
        }
        let (server, _) = start(*peer, bench, &receivers)?;
        thread::sleep(SETTLE);
        let before = used(server.id())?;
        thread::sleep(rest);
        let cpu = used(server.id())?.saturating_sub(before).as_secs_f64() / rest.as_secs_f64() * 100.0;
        let resident = resident_mib(server.id())?;
        server.stop()?;
        progress.say(&format!(
            "  {:<14} first answer after {:.0} ms, {resident:.1} MiB resident, {cpu:.3} % of a core",
            peer.name(),
            median(starts.clone()),
        ));
        if *peer == Peer::Service {
            reading.put(Measured::new(&START, starts));
            reading.put(Measured::once(&RESIDENT, resident));
            reading.put(Measured::once(&IDLE_CPU, cpu));
        }
    }
    Ok(reading)
}

fn start(peer: Peer, bench: &Bench<'_>, receivers: &Receivers) -> Result<(Server, Duration)> {
    let started = Instant::now();
    let server = Server::start(&mut peer.setup().command(&[], &bench.target, receivers)?)?;
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
