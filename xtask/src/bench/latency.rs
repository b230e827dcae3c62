//! p99 at a steady rate, half of what bare can answer, in an open loop.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::cores::Cores;
use super::facts::Facts;
use super::judge::{Measured, median_and_spread};
use super::limits::{P99_BARE, P99_HALF};
use super::load::{Load, Until, quantile_millis};
use super::peers::{Peer, Setup};
use super::progress::Progress;
use super::receivers::Receivers;
use super::report::Reading;
use super::server::Server;
use super::{Bench, CONNECTIONS, Scale};

/// Connections of the open loop: more than ever wait at a time when nothing stands still.
pub(crate) const OPEN_CONNECTIONS: usize = 128;
/// The share of bare's highest rate at which is measured.
const LOAD: f64 = 0.5;
const WARM_UP: Duration = Duration::from_millis(500);
/// Most that the load's own lateness may be of what it measures, p99 of p99.
pub(crate) const LATE_MAX: f64 = 0.5;

/// A server with its load, for runs at a steady rate.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) server: Server,
    receivers: Receivers,
    load: Load,
    setup: Setup,
    /// Answered so far.
    pub(crate) requests: u64,
}

/// Measures bare and the service in turns.
///
/// # Errors
/// When the machine has one core or a run fails.
pub(crate) fn measure(bench: &Bench<'_>) -> Result<Reading> {
    let (rounds, time) = match bench.scale {
        Scale::Quick => (3, Duration::from_secs(1)),
        Scale::Full => (7, Duration::from_secs(3)),
    };
    let cores = Cores::take()?;
    let rate = half_of_bare(bench, &cores)?;
    let progress = Progress::start(rounds * 2);
    progress.say(&format!(
        "p99 at {rate:.0} requests/s, open loop ({rounds} rounds of {time:?}; server on core {}, load on core {})",
        cores.server, cores.load
    ));
    let mut reading = Reading::default();
    let (mut bare, mut ratios) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let mut p99 = [0.0; 2];
        for (peer, p99) in [Peer::Bare, Peer::Service].into_iter().zip(&mut p99) {
            progress.step(&format!("round {round}, {}", peer.name()));
            let mut run = Run::start(peer.setup(), bench, &cores)?;
            let (value, late) = run.p99_millis(rate, time)?;
            let facts = run.end()?;
            *p99 = value;
            progress.say(&format!(
                "  round {round}  {:<14} {value:>7.3} ms (the load itself {late:.3} ms late)   {facts}",
                peer.name()
            ));
            reading.agreed(facts.agree());
            if late > value * LATE_MAX {
                reading.noise = Some("the load did not keep its schedule".to_owned());
            }
        }
        let [floor, service] = p99;
        bare.push(floor);
        ratios.push(service / floor);
    }
    reading.put(Measured::new(&P99_BARE, bare));
    reading.put(Measured::new(&P99_HALF, ratios));
    Ok(reading)
}

/// Half of the rate that bare keeps up on its core.
///
/// # Errors
/// When a run fails.
pub(crate) fn half_of_bare(bench: &Bench<'_>, cores: &Cores) -> Result<f64> {
    let mut rates = Vec::new();
    for _ in 0..3 {
        let mut run = Run::start(Peer::Bare.setup(), bench, cores)?;
        let mut load = Load::connect(run.server.address, CONNECTIONS)?;
        let started = Instant::now();
        let answered = load.run(Until::Time(started + Duration::from_secs(1)))?;
        rates.push(answered as f64 / started.elapsed().as_secs_f64());
        run.requests += answered;
        run.end()?;
    }
    Ok(median_and_spread(rates).0 * LOAD)
}

impl Run {
    /// Starts the server on its core, and answers some requests.
    ///
    /// # Errors
    /// When it does not start or answer.
    pub(crate) fn start(setup: Setup, bench: &Bench<'_>, cores: &Cores) -> Result<Self> {
        let receivers = Receivers::start_behind()?;
        let server = cores.start_behind(&mut setup.command(&[], &bench.target, &receivers)?)?;
        let mut load = Load::connect(server.address, OPEN_CONNECTIONS)?;
        let requests = load.run(Until::Time(Instant::now() + WARM_UP))?;
        Ok(Self {
            server,
            receivers,
            load,
            setup,
            requests,
        })
    }

    /// The p99 at this rate, and the p99 of how late the load was.
    ///
    /// # Errors
    /// When an answer fails.
    pub(crate) fn p99_millis(&mut self, rate: f64, time: Duration) -> Result<(f64, f64)> {
        let kept = self.load.at_rate(rate, time)?;
        self.requests += kept.latencies.len() as u64;
        Ok((
            quantile_millis(kept.latencies, 0.99)?,
            quantile_millis(kept.lateness, 0.99)?,
        ))
    }

    /// Ends it and counts its signals.
    ///
    /// # Errors
    /// When it does not stop.
    pub(crate) fn end(self) -> Result<Facts> {
        drop(self.load);
        Facts::gather(self.setup, self.requests, self.server, &self.receivers)
    }
}
