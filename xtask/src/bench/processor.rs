//! CPU time per request and throughput, in interleaved runs: on a core of its own, and with two workers on all cores.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::cores::{Cores, used};
use super::facts::Facts;
use super::judge::Measured;
use super::limits::{
    AGAINST_USUAL, CPU, CPU_LOKI, CPU_TWO_WORKERS, CPU_USUAL, CPU_USUAL_TWO_WORKERS, Figure, THROUGHPUT,
    THROUGHPUT_USUAL,
};
use super::peers::{Peer, Setup};
use super::progress::Progress;
use super::report::Reading;
use super::run::{Run, SLICE};
use super::{Bench, Scale};

/// One setup in one round.
#[derive(Debug, Clone)]
struct Turn {
    cpu_micros: f64,
    per_second: f64,
    facts: Facts,
}

/// The turns of every setup, in the order of the rounds.
#[derive(Debug)]
struct Turns(Vec<(Setup, Vec<Turn>)>);

/// Measures the peers in turns, each on one core, and the service once more with Loki push.
///
/// # Errors
/// When the machine has one core or a run fails.
pub(crate) fn pinned(bench: &Bench<'_>) -> Result<Reading> {
    let cores = Cores::take()?;
    let loki = Setup {
        loki: true,
        ..Peer::Service.setup()
    };
    let mut setups: Vec<_> = bench.peers.iter().map(|peer| peer.setup()).collect();
    if bench.peers.contains(&Peer::Service) {
        setups.push(loki);
    }
    let place = format!(
        "server on core {}, load and receivers on core {}",
        cores.server, cores.load
    );
    let (turns, mut reading) = take_turns(bench, &setups, Some(&cores), &place)?;
    let cpu = |turn: &Turn| turn.cpu_micros;
    let throughput = |turn: &Turn| turn.per_second;
    let (bare, service, usual) = (Peer::Bare.setup(), Peer::Service.setup(), Peer::Usual.setup());
    turns.put(&mut reading, &CPU, service, bare, cpu);
    turns.put(&mut reading, &THROUGHPUT, service, bare, throughput);
    turns.put(&mut reading, &CPU_LOKI, loki, bare, cpu);
    turns.put(&mut reading, &CPU_USUAL, usual, bare, cpu);
    turns.put(&mut reading, &THROUGHPUT_USUAL, usual, bare, throughput);
    turns.put(&mut reading, &AGAINST_USUAL, usual, service, cpu);
    Ok(reading)
}

/// Measures with two workers, on whatever cores the system chooses.
///
/// # Errors
/// When a run fails.
pub(crate) fn two_workers(bench: &Bench<'_>) -> Result<Reading> {
    let two = |peer: Peer| Setup {
        workers: 2,
        ..peer.setup()
    };
    let setups: Vec<_> = bench.peers.iter().map(|peer| two(*peer)).collect();
    let (turns, mut reading) = take_turns(bench, &setups, None, "not pinned")?;
    let cpu = |turn: &Turn| turn.cpu_micros;
    let bare = two(Peer::Bare);
    turns.put(&mut reading, &CPU_TWO_WORKERS, two(Peer::Service), bare, cpu);
    turns.put(&mut reading, &CPU_USUAL_TWO_WORKERS, two(Peer::Usual), bare, cpu);
    Ok(reading)
}

fn take_turns(
    bench: &Bench<'_>,
    setups: &[Setup],
    cores: Option<&Cores>,
    place: &str,
) -> Result<(Turns, Reading)> {
    let (rounds, run) = match bench.scale {
        Scale::Quick => (3, Duration::from_secs(1)),
        Scale::Full => (9, Duration::from_secs(3)),
    };
    let progress = Progress::start(rounds);
    progress.say(&format!(
        "CPU per request ({rounds} rounds of {run:?} each, in turns of {SLICE:?}; {place})"
    ));
    let mut reading = Reading::default();
    let mut turns = Turns(setups.iter().map(|setup| (*setup, Vec::new())).collect());
    for round in 1..=rounds {
        progress.step(&format!("round {round}"));
        let results = take_round(setups, run, bench, cores)?;
        for ((setup, turns), turn) in turns.0.iter_mut().zip(results) {
            progress.say(&format!(
                "  round {round}  {:<24} {:>6.2} us  {:>7.0} requests/s   {}",
                setup.name(),
                turn.cpu_micros,
                turn.per_second,
                turn.facts
            ));
            if setup.signals().metric {
                reading.agreed(turn.facts.agree());
            }
            if setup.peer == Peer::Bare {
                reading.floor.push(turn.cpu_micros);
            }
            turns.push(turn);
        }
    }
    Ok((turns, reading))
}

/// All servers at once, asked one at a time in short turns, so that a change of the machine's speed meets them all.
fn take_round(
    setups: &[Setup],
    run: Duration,
    bench: &Bench<'_>,
    cores: Option<&Cores>,
) -> Result<Vec<Turn>> {
    let mut running = setups
        .iter()
        .map(|setup| Running::start(*setup, bench, cores))
        .collect::<Result<Vec<_>>>()?;
    for slice in 0..run.div_duration_f64(SLICE).ceil() as u32 {
        // There and back, or one of them would always follow the same other.
        if slice % 2 == 0 {
            running.iter_mut().try_for_each(Running::slice)?;
        } else {
            running.iter_mut().rev().try_for_each(Running::slice)?;
        }
    }
    running.into_iter().map(Running::end).collect()
}

/// A server between its turns.
#[derive(Debug)]
struct Running {
    run: Run,
    cpu_before: Duration,
    answered: u64,
    took: Duration,
}

impl Running {
    fn start(setup: Setup, bench: &Bench<'_>, cores: Option<&Cores>) -> Result<Self> {
        let run = Run::start(setup, bench, cores)?;
        run.rest();
        Ok(Self {
            cpu_before: used(run.server.id())?,
            run,
            answered: 0,
            took: Duration::ZERO,
        })
    }

    fn slice(&mut self) -> Result<()> {
        let started = Instant::now();
        self.answered += self.run.at_full_speed(SLICE)?;
        self.took += started.elapsed();
        self.run.rest();
        Ok(())
    }

    /// Its CPU time includes what it delivers after its turns.
    fn end(self) -> Result<Turn> {
        let used = used(self.run.server.id())?.saturating_sub(self.cpu_before);
        Ok(Turn {
            cpu_micros: used.as_secs_f64() * 1e6 / self.answered as f64,
            per_second: self.answered as f64 / self.took.as_secs_f64(),
            facts: self.run.end()?,
        })
    }
}

impl Turns {
    /// Adds the ratio of two setups in each round; nothing when one of them was not measured.
    fn put(
        &self,
        reading: &mut Reading,
        figure: &'static Figure,
        of: Setup,
        to: Setup,
        value: fn(&Turn) -> f64,
    ) {
        let turns = |setup: Setup| self.0.iter().find(|(own, _)| *own == setup);
        if let (Some((_, of)), Some((_, to))) = (turns(of), turns(to)) {
            let ratios = of.iter().zip(to).map(|(of, to)| value(of) / value(to));
            reading.put(Measured::new(figure, ratios.collect()));
        }
    }
}
