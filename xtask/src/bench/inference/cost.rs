//! CPU time of a call, in interleaved runs.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use gatewayz_testkit::otlp::Receiver;

use super::super::load::{Load, Until};
use super::super::processor::{Cores, SPREAD_MAX, median_and_spread, used};
use super::super::{CONNECTIONS, Scale};
use super::ask::{Ask, check};
use super::proxy::{Proxy, start_provider};
use super::signals::Signals;
use super::verdict;

const WARM_UP: Duration = Duration::from_millis(500);

/// One proxy in one round.
#[derive(Debug)]
struct Turn {
    /// CPU time of a call in microseconds, in the order of [`Ask::ALL`].
    cpu_micros: [f64; 2],
    signals: Option<Signals>,
}

/// Measures both proxies in turns and holds the service against the floor.
///
/// # Errors
/// When a run fails.
pub(super) fn measure(target: &Path, cores: &Cores, scale: Scale) -> Result<bool> {
    let (rounds, run) = match scale {
        Scale::Quick => (3, Duration::from_secs(1)),
        Scale::Full => (5, Duration::from_secs(3)),
    };
    println!(
        "\nCPU per call of /v1/chat/completions ({rounds} rounds of {run:?}; proxy on core {}, load, provider and \
         receiver on core {})",
        cores.server, cores.load
    );
    let mut ratios = Ask::ALL.map(|_| Vec::new());
    let mut passed = true;
    for round in 1..=rounds {
        let [floor, service] = Proxy::ALL.map(|proxy| turn(proxy, target, cores, run));
        let (floor, service) = (floor?, service?);
        for (proxy, turn) in Proxy::ALL.iter().zip([&floor, &service]) {
            let [json, stream] = turn.cpu_micros;
            println!(
                "  round {round}  {:<14} {json:>6.1} us JSON, {stream:>6.1} us stream   {}",
                proxy.name(),
                turn.signals
                    .map(|signals| signals.to_string())
                    .unwrap_or_default()
            );
        }
        passed &= service.signals.is_some_and(|signals| signals.agree());
        let pairs = service.cpu_micros.iter().zip(floor.cpu_micros);
        for (ratios, (service, floor)) in ratios.iter_mut().zip(pairs) {
            ratios.push(service / floor);
        }
    }
    for (ask, ratios) in Ask::ALL.into_iter().zip(ratios) {
        passed &= judge(ask, ratios);
    }
    Ok(passed)
}

fn judge(ask: Ask, ratios: Vec<f64>) -> bool {
    let must = ask.must_ratio();
    let is_clear = ratios.iter().all(|ratio| *ratio <= must) || ratios.iter().all(|ratio| *ratio > must);
    let (ratio, spread) = median_and_spread(ratios);
    // Noise leaves open on which side of the limit they are only when they are on both.
    let is_judged = is_clear || spread <= SPREAD_MAX;
    let within = ratio <= must;
    println!(
        "  median   {:<14} {ratio:.2} x floor a {} (spread {:.0} %)   {} of {must:.1} x",
        Proxy::Service.name(),
        ask.name(),
        spread * 100.0,
        if is_judged {
            verdict(within)
        } else {
            "too noisy to judge: the limit"
        }
    );
    within || !is_judged
}

fn turn(proxy: Proxy, target: &Path, cores: &Cores, run: Duration) -> Result<Turn> {
    let receiver = Receiver::counting();
    let provider = start_provider(target, Duration::ZERO)?;
    let server = cores.start(&mut proxy.command(&[], target, provider.address, &receiver)?)?;
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
        Proxy::Service => Some(Signals::gather(requests, server, &receiver)?),
    };
    Ok(Turn { cpu_micros, signals })
}

#[cfg(test)]
mod tests {
    use super::{Ask, judge};

    #[test]
    fn noise_excuses_only_what_may_be_within_the_limit() {
        for (ratios, expected) in [
            (vec![1.9, 2.4, 2.9], false),
            (vec![1.3, 1.6, 1.9], true),
            (vec![1.45, 1.55, 1.6], false),
            (vec![0.9, 1.2, 1.4], true),
        ] {
            assert_eq!(judge(Ask::Json, ratios.clone()), expected, "{ratios:?}");
        }
    }
}
