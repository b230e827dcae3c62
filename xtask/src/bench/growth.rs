//! Whether a request costs more when there are more routes, or more series.

use anyhow::Result;

use super::Bench;
use super::instructions::Counter;
use super::judge::Measured;
use super::limits::{ROUTES, ROUTES_EXTRA, SERIES};
use super::peers::{Peer, Setup};
use super::report::Reading;

const ROUTE_COUNT: usize = 500;
const FEW_SERIES: usize = 10;
const MANY_SERIES: usize = 10_000;

/// Counts instructions: what routing itself takes grows for bare too, so each count is held against bare's own.
///
/// # Errors
/// When valgrind is missing or a run fails.
pub(crate) fn measure(bench: &Bench<'_>) -> Result<Reading> {
    let with_routes = |peer: Peer| Setup {
        routes: ROUTE_COUNT,
        ..peer.setup()
    };
    let with_series = |series| Setup {
        series,
        ..Peer::Lean.setup()
    };
    let setups = [
        Peer::Bare.setup(),
        Peer::Lean.setup(),
        with_routes(Peer::Bare),
        with_routes(Peer::Lean),
        with_series(FEW_SERIES),
        with_series(MANY_SERIES),
    ];
    let mut counter = Counter::new(bench, &setups)?;
    let mut counts = [0.0; 6];
    for (setup, count) in setups.into_iter().zip(&mut counts) {
        *count = counter.per_request(setup)?;
    }
    let [bare, lean, bare_routes, lean_routes, few, many] = counts;
    let mut reading = counter.finish();
    reading.put(Measured::once(
        &ROUTES,
        (lean_routes / bare_routes) / (lean / bare),
    ));
    reading.put(Measured::once(&ROUTES_EXTRA, lean_routes - bare_routes));
    reading.put(Measured::once(&SERIES, (many - bare) / (few - bare)));
    Ok(reading)
}
