//! Resident memory of both proxies while streams are open.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::super::Bench;
use super::super::cores::Cores;
use super::super::idle::resident_mib;
use super::super::judge::Measured;
use super::super::limits::{CALL_MEMORY, FLOOR_MEMORY};
use super::super::load::{Load, Until};
use super::super::progress::Progress;
use super::super::receivers::Receivers;
use super::super::report::Reading;
use super::super::server::Server;
use super::ask::{Ask, check};
use super::proxy::{Proxy, start_provider};
use super::signals::Signals;

const OPEN: usize = 1_000;
/// Between two events of a stream, so that all of them are open for seconds.
const PAUSE: Duration = Duration::from_millis(250);
/// Shortest time that a stream takes.
const LENGTH: Duration = Duration::from_secs(9);
const SAMPLES: usize = 20;
const BETWEEN: Duration = Duration::from_millis(50);

/// Opens the streams, samples the memory while all are open, and counts the signals when they have ended. What the
/// kernel holds for sockets is not in it.
///
/// # Errors
/// When the streams are not open at one time, or a run fails.
pub(super) fn measure(bench: &Bench<'_>, cores: &Cores) -> Result<Reading> {
    let progress = Progress::start(Proxy::ALL.len());
    progress.say(&format!(
        "Resident memory with {OPEN} open streams ({PAUSE:?} between two events)"
    ));
    let mut reading = Reading::default();
    for proxy in Proxy::ALL {
        progress.step(proxy.name());
        one(&mut reading, proxy, bench, cores, &progress)?;
    }
    Ok(reading)
}

fn one(
    reading: &mut Reading,
    proxy: Proxy,
    bench: &Bench<'_>,
    cores: &Cores,
    progress: &Progress,
) -> Result<()> {
    let receivers = Receivers::keeping_spans();
    let target = &bench.target;
    let provider = start_provider(target, PAUSE)?;
    let server = cores.start(&mut proxy.command(&[], target, provider.address, &receivers)?)?;
    let checked = check(server.address, provider.address)?;
    let before = megabytes(&server)?;
    let mut load = Load::connect(server.address, OPEN)?.asking(Ask::Stream.request());
    let (open, ended) = thread::scope(|scope| -> Result<_> {
        let began = Instant::now();
        let streams = scope.spawn(move || load.run(Until::Requests(OPEN as u64)));
        let open = while_open(&server, began);
        let ended = streams
            .join()
            .map_err(|_| anyhow::anyhow!("read the streams"))??;
        Ok((open?, ended))
    })?;
    let after = megabytes(&server)?;
    progress.say(&format!(
        "  {:<14} {before:>5.1} MB before, at most {open:>5.1} MB while open, {after:>5.1} MB after",
        proxy.name()
    ));
    if proxy == Proxy::Floor {
        reading.put(Measured::once(&FLOOR_MEMORY, open));
    } else {
        reading.put(Measured::once(&CALL_MEMORY, open));
        let signals = Signals::gather(checked + ended, server, &receivers.otlp)?;
        progress.say(&format!("  {:<14} {signals}", ""));
        reading.agreed(signals.agree());
    }
    Ok(())
}

/// The most memory seen while all streams are open, which were asked for after `began`.
fn while_open(server: &Server, began: Instant) -> Result<f64> {
    // A stream holds a connection on each side.
    while sockets(server)? < 2 * OPEN {
        ensure!(
            began.elapsed() < LENGTH,
            "open {OPEN} streams: not within {LENGTH:?}"
        );
        thread::sleep(BETWEEN);
    }
    let mut most: f64 = 0.0;
    for _ in 0..SAMPLES {
        thread::sleep(BETWEEN);
        most = most.max(megabytes(server)?);
    }
    ensure!(
        began.elapsed() < LENGTH,
        "read the memory while {OPEN} streams are open: it took too long"
    );
    Ok(most)
}

fn sockets(server: &Server) -> Result<usize> {
    let files = fs::read_dir(format!("/proc/{}/fd", server.id())).context("list the files of the proxy")?;
    let targets = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
    Ok(targets
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count())
}

fn megabytes(server: &Server) -> Result<f64> {
    let resident = resident_mib(server.id()).context("read the memory of the proxy")?;
    Ok(resident * 1.048_576)
}
