//! CPU time per request and throughput, server and load on a core each, in interleaved runs.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gatewayz_testkit::otlp::Receiver;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::facts::Facts;
use super::load::{Load, Until};
use super::peers::Peer;
use super::server::Server;
use super::{CONNECTIONS, Scale};

/// Most CPU time of a request, as a multiple of bare.
const MUST_RATIO: f64 = 1.5;
/// Ratios that are farther apart than this share of their median say nothing.
pub(crate) const SPREAD_MAX: f64 = 0.15;
const WARM_UP: Duration = Duration::from_millis(500);

/// Measures the peers in turns and holds the service against its limit.
///
/// # Errors
/// When the machine has one core or a run fails.
pub(crate) fn measure(target: &Path, peers: &[Peer], scale: Scale) -> Result<bool> {
    let (rounds, run) = match scale {
        Scale::Quick => (3, Duration::from_secs(1)),
        Scale::Full => (5, Duration::from_secs(3)),
    };
    let cores = Cores::choose()?;
    println!(
        "\nCPU per request ({rounds} rounds of {run:?}; server on core {}, load and receiver on core {})",
        cores.server, cores.load
    );
    let mut turns: Vec<Vec<Turn>> = vec![Vec::new(); peers.len()];
    for round in 1..=rounds {
        for (peer, turns) in peers.iter().zip(&mut turns) {
            let turn = cores.turn(*peer, run, target)?;
            println!(
                "  round {round}  {:<14} {:>6.2} us  {:>7.0} requests/s   {}",
                peer.name(),
                turn.cpu_micros,
                turn.per_second,
                turn.facts
            );
            turns.push(turn);
        }
    }
    cores.release()?;
    let Some((bare, others)) = turns.split_first() else {
        return Ok(true);
    };
    let mut passed = true;
    for (peer, turns) in peers.iter().skip(1).zip(others) {
        let ratio = |of: fn(&Turn) -> f64| -> Vec<f64> {
            turns
                .iter()
                .zip(bare)
                .map(|(turn, bare)| of(turn) / of(bare))
                .collect()
        };
        let (cpu, spread) = median_and_spread(ratio(|turn| turn.cpu_micros));
        let (throughput, _) = median_and_spread(ratio(|turn| turn.per_second));
        println!(
            "  median   {:<14} {cpu:.2} x bare (spread {:.0} %), throughput {throughput:.2} of bare",
            peer.name(),
            spread * 100.0
        );
        if spread > SPREAD_MAX {
            println!(
                "           too noisy to judge: the ratios are more than {:.0} % apart",
                SPREAD_MAX * 100.0
            );
        } else if matches!(peer, Peer::Service | Peer::Lean) {
            let within = cpu <= MUST_RATIO;
            println!(
                "           {}: at most {MUST_RATIO:.2} x",
                if within {
                    "within the limit"
                } else {
                    "ABOVE THE LIMIT"
                }
            );
            passed &= within;
        }
        if peer.signals().metric {
            passed &= turns.iter().all(|turn| turn.facts.agree());
        }
    }
    Ok(passed)
}

/// CPU time the process has used so far, user and system, over its living threads.
///
/// # Errors
/// When `/proc` does not show it.
pub(crate) fn used(process: u32) -> Result<Duration> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).context("list the threads of the server")?;
    let mut nanos = 0;
    for task in tasks.flatten() {
        // A thread that has just ended is not missed.
        let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else {
            continue;
        };
        let on_cpu = text.split(' ').next().unwrap_or_default();
        nanos += on_cpu.parse::<u64>().context("read the CPU time of a thread")?;
    }
    Ok(Duration::from_nanos(nanos))
}

#[derive(Debug, Clone)]
struct Turn {
    cpu_micros: f64,
    per_second: f64,
    facts: Facts,
}

/// The two cores of the measurement.
#[derive(Debug)]
pub(crate) struct Cores {
    all: CpuSet,
    /// That of the measured process.
    pub(crate) server: usize,
    /// That of everything else.
    pub(crate) load: usize,
}

impl Cores {
    /// The first two that this process may use.
    ///
    /// # Errors
    /// When there is one only.
    pub(crate) fn choose() -> Result<Self> {
        let all = sched_getaffinity(None).context("read the cores of this process")?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core));
        let (load, server) = (usable.next(), usable.next());
        ensure!(
            load.is_some() && server.is_some(),
            "measure CPU time: two cores are needed"
        );
        Ok(Self {
            all,
            load: load.unwrap_or_default(),
            server: server.unwrap_or_default(),
        })
    }

    fn turn(&self, peer: Peer, run: Duration, target: &Path) -> Result<Turn> {
        pin(self.load)?;
        let receiver = Receiver::counting();
        let mut command = peer.command(&[], target, &receiver)?;
        let server = self.start(&mut command)?;
        let mut load = Load::connect(server.address, CONNECTIONS)?;
        let warm = load.run(Until::Time(Instant::now() + WARM_UP))?;
        let (cpu_before, started) = (used(server.id())?, Instant::now());
        let answered = load.run(Until::Time(started + run))?;
        let (cpu_after, took) = (used(server.id())?, started.elapsed());
        drop(load);
        Ok(Turn {
            cpu_micros: (cpu_after.saturating_sub(cpu_before)).as_secs_f64() * 1e6 / answered as f64,
            per_second: answered as f64 / took.as_secs_f64(),
            facts: Facts::gather(peer, warm + answered, server, &receiver)?,
        })
    }

    /// Starts a server on its core.
    ///
    /// # Errors
    /// When it does not start there.
    pub(crate) fn start(&self, command: &mut Command) -> Result<Server> {
        // A process starts on the cores of the thread that makes it.
        thread::scope(|scope| {
            let start = scope.spawn(|| {
                pin(self.server)?;
                Server::start(command)
            });
            start.join().map_err(|_| anyhow::anyhow!("start the server"))?
        })
    }

    /// Lets this thread run on all cores again.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn release(&self) -> Result<()> {
        sched_setaffinity(None, &self.all).context("take the cores of this process back")
    }
}

/// Keeps this thread, and what it starts from now on, on one core.
///
/// # Errors
/// When the system refuses.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).with_context(|| format!("move to core {core}"))
}

/// The middle value, and how far the extremes are apart as a share of it.
pub(crate) fn median_and_spread(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let median = values.get(values.len() / 2).copied().unwrap_or(f64::NAN);
    let (least, most) = (values.first(), values.last());
    let range = most.zip(least).map_or(f64::NAN, |(most, least)| most - least);
    (median, range / median)
}

#[cfg(test)]
mod tests {
    use super::median_and_spread;

    #[test]
    fn the_spread_is_the_distance_of_the_extremes_in_medians() {
        let (median, spread) = median_and_spread(vec![1.2, 0.9, 1.0]);

        assert!((median - 1.0).abs() < 1e-9);
        assert!((spread - 0.3).abs() < 1e-9);
    }
}
