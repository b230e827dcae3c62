//! What a scrape costs, and whether a request notices it.

use std::thread;

use anyhow::{Context, Result, ensure};
use gatewayz_testkit::http::Client;
use rustix::process::nice;

use super::cores::{Cores, used};
use super::estimate::median;
use super::judge::Measured;
use super::latency::{half_of_bare, late};
use super::limits::{Figure, P99_SCRAPED, SCRAPE_10K, SCRAPE_100K};
use super::peers::{Peer, Setup};
use super::progress::Progress;
use super::receivers::LOWEST;
use super::report::Reading;
use super::run::{Run, SLICE};
use super::{Bench, Scale};

const SCRAPES: usize = 11;

/// Scrapes a server at rest, and one that answers requests.
///
/// # Errors
/// When the machine has one core or a run fails.
pub(crate) fn measure(bench: &Bench<'_>) -> Result<Reading> {
    let cores = Cores::take()?;
    let mut reading = Reading::default();
    println!(
        "CPU per scrape ({SCRAPES} scrapes; server on core {})",
        cores.server
    );
    for (series, figure) in [(10_000, &SCRAPE_10K), (100_000, &SCRAPE_100K)] {
        at_rest(&mut reading, with(series), figure, bench, &cores)?;
    }
    while_answering(&mut reading, bench, &cores)?;
    Ok(reading)
}

fn with(series: usize) -> Setup {
    Setup {
        series,
        ..Peer::Lean.setup()
    }
}

fn at_rest(
    reading: &mut Reading,
    setup: Setup,
    figure: &'static Figure,
    bench: &Bench<'_>,
    cores: &Cores,
) -> Result<()> {
    let run = Run::start_behind(setup, bench, cores)?;
    let mut client = Client::connect(run.server.address).context("connect to the server")?;
    // The buffers have their size after the first.
    let page = scrape(&mut client)?;
    ensure!(page >= setup.series, "scrape: the page has {page} lines");
    let mut costs = Vec::new();
    for _ in 0..SCRAPES {
        let before = used(run.server.id())?;
        scrape(&mut client)?;
        costs.push(used(run.server.id())?.saturating_sub(before).as_secs_f64() * 1e3);
    }
    let facts = run.end()?;
    reading.agreed(facts.agree());
    println!(
        "  {:<24} {:>7.2} ms, {page} lines   {facts}",
        setup.name(),
        median(costs.clone())
    );
    reading.put(Measured::new(figure, costs));
    Ok(())
}

/// Makes requests in turns without a scrape and with one; Prometheus leaves 15 seconds. A scrape takes about a hundredth
/// of a turn, so that requests that waited for it would be the p99.
fn while_answering(reading: &mut Reading, bench: &Bench<'_>, cores: &Cores) -> Result<()> {
    let (rounds, pairs) = match bench.scale {
        Scale::Quick => (3, 5),
        Scale::Full => (25, 21),
    };
    let rate = half_of_bare(bench, cores)?;
    let progress = Progress::start(rounds);
    progress.say(&format!(
        "p99 at {rate:.0} requests/s without and with a scrape ({rounds} rounds of {pairs} turns of {SLICE:?} each)"
    ));
    let setup = with(10_000);
    let mut run = Run::start_behind(setup, bench, cores)?;
    let mut client = Client::connect(run.server.address).context("connect to the server")?;
    let (mut ratios, mut shares_late) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        progress.step(&format!("round {round}"));
        let (mut without, mut with, mut lateness) = (Vec::new(), Vec::new(), Vec::new());
        for pair in 0..pairs {
            // Each is first every other time, or a pause of the machine that comes twice a second would meet one of them.
            let first = pair % 2 == 0;
            for is_scraped in [first, !first] {
                if is_scraped {
                    with.push(scraped(&mut client, || run.p99_millis(rate, SLICE))?);
                } else {
                    let (p99, late) = run.p99_millis(rate, SLICE)?;
                    without.push(p99);
                    lateness.push(late);
                }
                run.rest();
            }
        }
        let [without, with, lateness] = [without, with, lateness].map(median);
        progress.say(&format!(
            "  round {round}  {without:>7.3} ms without, {with:>7.3} ms with (the load itself {lateness:.3} ms late)"
        ));
        shares_late.push(lateness / without);
        ratios.push(with / without);
    }
    let facts = run.end()?;
    progress.say(&format!("  {:<24} {facts}", setup.name()));
    reading.agreed(facts.agree());
    reading.noise = late(shares_late);
    reading.put(Measured::new(&P99_SCRAPED, ratios));
    Ok(())
}

/// The p99 that `work` says, scraped once in its midst.
fn scraped(client: &mut Client, work: impl FnOnce() -> Result<(f64, f64)>) -> Result<f64> {
    thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            // Taking the page is no work of the load, whose core it shares.
            nice(LOWEST).context("lower the priority of the scraper")?;
            thread::sleep(SLICE / 2);
            scrape(client)
        });
        let p99 = work();
        scraper
            .join()
            .map_err(|_| anyhow::anyhow!("scrape meanwhile"))??;
        Ok(p99?.0)
    })
}

/// Lines of the page.
fn scrape(client: &mut Client) -> Result<usize> {
    let page = client.get("/metrics", &[]).context("scrape the server")?;
    ensure!(page.status == 200, "scrape the server: status {}", page.status);
    Ok(memchr::memchr_iter(b'\n', &page.body).count())
}
