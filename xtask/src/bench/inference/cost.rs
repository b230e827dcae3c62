//! CPU time of a call, in interleaved runs.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::super::cores::{Cores, used};
use super::super::judge::Measured;
use super::super::load::{Load, Until};
use super::super::progress::Progress;
use super::super::receivers::Receivers;
use super::super::report::Reading;
use super::super::run::SLICE;
use super::super::server::Server;
use super::super::{Bench, CONNECTIONS, Scale};
use super::ask::{Ask, check};
use super::proxy::{Proxy, start_provider};
use super::signals::Signals;

const WARM_UP: Duration = Duration::from_millis(500);

/// One proxy in one round.
#[derive(Debug)]
struct Turn {
    /// CPU time of a call in microseconds, in the order of [`Ask::ALL`].
    cpu_micros: [f64; Ask::ALL.len()],
    signals: Option<Signals>,
}

/// Measures both proxies in turns.
///
/// # Errors
/// When a run fails.
pub(super) fn measure(bench: &Bench<'_>, cores: &Cores) -> Result<Reading> {
    let (rounds, run) = match bench.scale {
        Scale::Quick => (3, Duration::from_secs(1)),
        Scale::Full => (9, Duration::from_secs(2)),
    };
    let progress = Progress::start(rounds);
    progress.say(&format!(
        "CPU per call of /v1/chat/completions ({rounds} rounds of {run:?} each, in turns of {SLICE:?}; proxy on core \
         {}, load, provider and receiver on core {})",
        cores.server, cores.load
    ));
    let mut ratios = Ask::ALL.map(|_| Vec::new());
    let mut reading = Reading::default();
    for round in 1..=rounds {
        progress.step(&format!("round {round}"));
        let [floor, service] = take_round(bench, cores, run)?;
        for (proxy, turn) in Proxy::ALL.iter().zip([&floor, &service]) {
            let [json, stream] = turn.cpu_micros;
            progress.say(&format!(
                "  round {round}  {:<14} {json:>6.1} us JSON, {stream:>6.1} us stream   {}",
                proxy.name(),
                turn.signals
                    .map(|signals| signals.to_string())
                    .unwrap_or_default()
            ));
        }
        reading.agreed(service.signals.is_some_and(|signals| signals.agree()));
        let [json, _] = floor.cpu_micros;
        reading.floor.push(json);
        let pairs = service.cpu_micros.iter().zip(floor.cpu_micros);
        for (ratios, (service, floor)) in ratios.iter_mut().zip(pairs) {
            ratios.push(service / floor);
        }
    }
    for (ask, ratios) in Ask::ALL.into_iter().zip(ratios) {
        reading.put(Measured::new(ask.cpu(), ratios));
    }
    Ok(reading)
}

/// Both proxies at once, asked in turns.
fn take_round(bench: &Bench<'_>, cores: &Cores, run: Duration) -> Result<[Turn; Proxy::ALL.len()]> {
    let [floor, service] = Proxy::ALL;
    let mut running = [
        Running::start(floor, bench, cores)?,
        Running::start(service, bench, cores)?,
    ];
    for ask in Ask::ALL {
        for proxy in &mut running {
            proxy.begin(ask)?;
        }
        for _ in 0..run.div_duration_f64(SLICE).ceil() as u32 {
            for proxy in &mut running {
                proxy.slice()?;
            }
        }
        for proxy in &mut running {
            proxy.settle(ask)?;
        }
    }
    let [floor, service] = running;
    Ok([floor.end()?, service.end()?])
}

/// A proxy between its turns.
#[derive(Debug)]
struct Running {
    proxy: Proxy,
    receivers: Receivers,
    _provider: Server,
    server: Server,
    load: Load,
    /// Answered since the start, and since `cpu_before`.
    requests: u64,
    answered: u64,
    cpu_before: Duration,
    cpu_micros: [f64; Ask::ALL.len()],
}

impl Running {
    fn start(proxy: Proxy, bench: &Bench<'_>, cores: &Cores) -> Result<Self> {
        let receivers = Receivers::start();
        let target = &bench.target;
        let provider = start_provider(target, Duration::ZERO)?;
        let server = cores.start(&mut proxy.command(&[], target, provider.address, &receivers)?)?;
        Ok(Self {
            requests: check(server.address, provider.address)?,
            load: Load::connect(server.address, CONNECTIONS)?,
            proxy,
            receivers,
            _provider: provider,
            server,
            answered: 0,
            cpu_before: Duration::ZERO,
            cpu_micros: [0.0; Ask::ALL.len()],
        })
    }

    /// Turns to another kind of call.
    fn begin(&mut self, ask: Ask) -> Result<()> {
        self.load = Load::connect(self.server.address, CONNECTIONS)?.asking(ask.request());
        self.requests += self.load.run(Until::Time(Instant::now() + WARM_UP))?;
        self.receivers.wait_until_quiet();
        self.answered = 0;
        self.cpu_before = used(self.server.id())?;
        Ok(())
    }

    fn slice(&mut self) -> Result<()> {
        let answered = self.load.run(Until::Time(Instant::now() + SLICE))?;
        self.requests += answered;
        self.answered += answered;
        self.receivers.wait_until_quiet();
        Ok(())
    }

    /// Keeps what the calls since [`Self::begin`] took.
    fn settle(&mut self, ask: Ask) -> Result<()> {
        let cpu = used(self.server.id())?.saturating_sub(self.cpu_before);
        if let Some(cpu_micros) = self.cpu_micros.get_mut(ask as usize) {
            *cpu_micros = cpu.as_secs_f64() * 1e6 / self.answered as f64;
        }
        Ok(())
    }

    fn end(self) -> Result<Turn> {
        let signals = match self.proxy {
            Proxy::Floor => None,
            Proxy::Service => Some(Signals::gather(self.requests, self.server, &self.receivers.otlp)?),
        };
        Ok(Turn {
            cpu_micros: self.cpu_micros,
            signals,
        })
    }
}
