//! CPU time of a call, in interleaved runs.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::super::cores::{Cores, used};
use super::super::judge::Measured;
use super::super::load::{Load, Until};
use super::super::progress::Progress;
use super::super::receivers::Receivers;
use super::super::report::Reading;
use super::super::{Bench, CONNECTIONS, Scale};
use super::ask::{Ask, check};
use super::proxy::{Proxy, start_provider};
use super::signals::Signals;

const WARM_UP: Duration = Duration::from_millis(500);

/// One proxy in one round.
#[derive(Debug)]
struct Turn {
    /// CPU time of a call in microseconds, in the order of [`Ask::ALL`].
    cpu_micros: [f64; 2],
    signals: Option<Signals>,
}

/// Measures both proxies in turns.
///
/// # Errors
/// When a run fails.
pub(super) fn measure(bench: &Bench<'_>, cores: &Cores) -> Result<Reading> {
    let (rounds, run) = match bench.scale {
        Scale::Quick => (3, Duration::from_secs(1)),
        Scale::Full => (5, Duration::from_secs(2)),
    };
    let progress = Progress::start(rounds * 2);
    progress.say(&format!(
        "CPU per call of /v1/chat/completions ({rounds} rounds of {run:?}; proxy on core {}, load, provider and \
         receiver on core {})",
        cores.server, cores.load
    ));
    let mut ratios = Ask::ALL.map(|_| Vec::new());
    let mut reading = Reading::default();
    for round in 1..=rounds {
        progress.step(&format!("round {round}, {}", Proxy::Floor.name()));
        let floor = turn(Proxy::Floor, bench, cores, run)?;
        progress.step(&format!("round {round}, {}", Proxy::Service.name()));
        let service = turn(Proxy::Service, bench, cores, run)?;
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

fn turn(proxy: Proxy, bench: &Bench<'_>, cores: &Cores, run: Duration) -> Result<Turn> {
    let receivers = Receivers::start();
    let target = &bench.target;
    let provider = start_provider(target, Duration::ZERO)?;
    let server = cores.start(&mut proxy.command(&[], target, provider.address, &receivers)?)?;
    let mut requests = check(server.address, provider.address)?;
    let mut cpu_micros = [0.0; 2];
    for (ask, cpu_micros) in Ask::ALL.into_iter().zip(&mut cpu_micros) {
        let mut load = Load::connect(server.address, CONNECTIONS)?.asking(ask.request());
        requests += load.run(Until::Time(Instant::now() + WARM_UP))?;
        let before = used(server.id())?;
        let answered = load.run(Until::Time(Instant::now() + run))?;
        let cpu = used(server.id())?.saturating_sub(before);
        *cpu_micros = cpu.as_secs_f64() * 1e6 / answered as f64;
        requests += answered;
    }
    let signals = match proxy {
        Proxy::Floor => None,
        Proxy::Service => Some(Signals::gather(requests, server, &receivers.otlp)?),
    };
    Ok(Turn { cpu_micros, signals })
}
