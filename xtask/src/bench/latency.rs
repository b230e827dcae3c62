//! p99 at a steady rate, half of what bare can answer, in an open loop.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::cores::Cores;
use super::estimate::median;
use super::judge::Measured;
use super::limits::{P99_BARE, P99_HALF};
use super::peers::Peer;
use super::progress::Progress;
use super::report::Reading;
use super::run::{Run, SLICE};
use super::{Bench, Scale};

const PEERS: [Peer; 2] = [Peer::Bare, Peer::Service];
/// The share of bare's highest rate at which is measured.
const LOAD: f64 = 0.5;
/// Most that the load's own lateness may be of what it measures, p99 of p99.
const LATE_MAX: f64 = 0.5;

/// Measures bare and the service in turns.
///
/// # Errors
/// When the machine has one core or a run fails.
pub(crate) fn measure(bench: &Bench<'_>) -> Result<Reading> {
    let (rounds, time) = match bench.scale {
        Scale::Quick => (3, Duration::from_secs(1)),
        Scale::Full => (21, Duration::from_secs(3)),
    };
    let cores = Cores::take()?;
    let rate = half_of_bare(bench, &cores)?;
    let progress = Progress::start(rounds);
    progress.say(&format!(
        "p99 at {rate:.0} requests/s, open loop ({rounds} rounds of {time:?} each, in turns of {SLICE:?}; server on core \
         {}, load on core {})",
        cores.server, cores.load
    ));
    let mut reading = Reading::default();
    let (mut bare, mut ratios, mut shares_late) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        progress.step(&format!("round {round}"));
        let mut p99 = [0.0; 2];
        let turns = take_round(rate, time, bench, &cores)?;
        for ((peer, turn), p99) in PEERS.into_iter().zip(turns).zip(&mut p99) {
            let value = median(turn.p99);
            let late = median(turn.late);
            let facts = turn.run.end()?;
            *p99 = value;
            progress.say(&format!(
                "  round {round}  {:<14} {value:>7.3} ms (the load itself {late:.3} ms late)   {facts}",
                peer.name()
            ));
            reading.agreed(facts.agree());
            shares_late.push(late / value);
        }
        let [floor, service] = p99;
        bare.push(floor);
        ratios.push(service / floor);
    }
    reading.noise = late(shares_late);
    reading.put(Measured::new(&P99_BARE, bare));
    reading.put(Measured::new(&P99_HALF, ratios));
    Ok(reading)
}

/// What is to be said when the load was late; each value is its lateness as a share of what it measured.
pub(crate) fn late(shares: Vec<f64>) -> Option<String> {
    (median(shares) > LATE_MAX).then(|| "the load did not keep its schedule".to_owned())
}

/// One server in one round, with the p99 of each of its slices and that of how late the load was.
#[derive(Debug)]
struct Turn {
    run: Run,
    p99: Vec<f64>,
    late: Vec<f64>,
}

/// Both servers at once, asked in turns.
fn take_round(rate: f64, time: Duration, bench: &Bench<'_>, cores: &Cores) -> Result<[Turn; PEERS.len()]> {
    let start = |peer: Peer| -> Result<Turn> {
        Ok(Turn {
            run: Run::start_behind(peer.setup(), bench, cores)?,
            p99: Vec::new(),
            late: Vec::new(),
        })
    };
    let [bare, service] = PEERS;
    let mut turns = [start(bare)?, start(service)?];
    for _ in 0..time.div_duration_f64(SLICE).ceil() as u32 {
        for turn in &mut turns {
            let (p99, late) = turn.run.p99_millis(rate, SLICE)?;
            turn.p99.push(p99);
            turn.late.push(late);
            turn.run.rest();
        }
    }
    Ok(turns)
}

/// Half of the rate that bare keeps up on its core.
///
/// # Errors
/// When a run fails.
pub(crate) fn half_of_bare(bench: &Bench<'_>, cores: &Cores) -> Result<f64> {
    let mut rates = Vec::new();
    for _ in 0..3 {
        let mut run = Run::start(Peer::Bare.setup(), bench, Some(cores))?;
        let started = Instant::now();
        let answered = run.at_full_speed(Duration::from_secs(1))?;
        rates.push(answered as f64 / started.elapsed().as_secs_f64());
        run.end()?;
    }
    Ok(median(rates) * LOAD)
}
