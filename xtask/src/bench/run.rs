//! A server with its load and its receivers.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::cores::Cores;
use super::facts::Facts;
use super::load::{Load, Until, quantile_millis};
use super::peers::Setup;
use super::receivers::Receivers;
use super::server::Server;
use super::{Bench, CONNECTIONS};

/// Connections of an open loop: more than ever wait at a time when nothing stands still.
const OPEN_CONNECTIONS: usize = 128;
/// One server's time before the next has its turn. The speed of the machine changes within seconds.
pub(crate) const SLICE: Duration = Duration::from_millis(100);
const WARM_UP: Duration = Duration::from_millis(500);
/// A running server that has answered some requests.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) server: Server,
    load: Load,
    receivers: Receivers,
    setup: Setup,
    /// Answered so far.
    requests: u64,
}

impl Run {
    /// Starts a server for a load that waits for answers, on its core or wherever the system chooses.
    ///
    /// # Errors
    /// When it does not start or answer.
    pub(crate) fn start(setup: Setup, bench: &Bench<'_>, cores: Option<&Cores>) -> Result<Self> {
        let receivers = Receivers::start();
        let mut command = setup.command(&[], &bench.target, &receivers)?;
        let server = match cores {
            Some(cores) => cores.start(&mut command)?,
            None => Server::start(&mut command)?,
        };
        Self::warm(setup, receivers, server, CONNECTIONS)
    }

    /// Starts a server on its core for a load with a schedule to keep, to which all receivers give way.
    ///
    /// # Errors
    /// When it does not start or answer.
    pub(crate) fn start_behind(setup: Setup, bench: &Bench<'_>, cores: &Cores) -> Result<Self> {
        let receivers = Receivers::start_behind()?;
        let server = cores.start_behind(&mut setup.command(&[], &bench.target, &receivers)?)?;
        Self::warm(setup, receivers, server, OPEN_CONNECTIONS)
    }

    fn warm(setup: Setup, receivers: Receivers, server: Server, connections: usize) -> Result<Self> {
        let mut load = Load::connect(server.address, connections)?;
        let requests = load.run(Until::Time(Instant::now() + WARM_UP))?;
        Ok(Self {
            server,
            load,
            receivers,
            setup,
            requests,
        })
    }

    /// Makes requests for that time, each on the answer before it; how many.
    ///
    /// # Errors
    /// When an answer fails.
    pub(crate) fn at_full_speed(&mut self, time: Duration) -> Result<u64> {
        let answered = self.load.run(Until::Time(Instant::now() + time))?;
        self.requests += answered;
        Ok(answered)
    }

    /// Makes requests at this rate for that time; the p99 of the answers, and of how late the load was.
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

    /// Waits until it has nothing more to deliver, so that another server has its turn alone.
    pub(crate) fn rest(&self) {
        self.receivers.wait_until_quiet();
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
