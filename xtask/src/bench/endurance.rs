//! A long run at full speed: whether a request costs the same at its end, and whether memory grows.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::cores::{Cores, used};
use super::estimate::median;
use super::idle::resident_mib;
use super::judge::Measured;
use super::limits::{DRIFT, GROWTH};
use super::peers::Peer;
use super::progress::Progress;
use super::report::Reading;
use super::run::Run;
use super::{Bench, Scale};

/// The service is measured in slices, with a shorter one of bare after each that says what the machine did meanwhile.
const SLICE: Duration = Duration::from_secs(4);
const BARE_SLICE: Duration = Duration::from_secs(1);
const QUICK: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
struct Slice {
    /// CPU time of a request, as a multiple of bare's.
    ratio: f64,
    bare_micros: f64,
    resident_mib: f64,
    per_second: f64,
}

/// Runs the service for the minutes that were asked for.
///
/// # Errors
/// When the machine has one core or a run fails.
pub(crate) fn measure(bench: &Bench<'_>) -> Result<Reading> {
    let time = match bench.scale {
        Scale::Quick => QUICK,
        Scale::Full => Duration::from_secs(bench.minutes * 60),
    };
    let cores = Cores::take()?;
    let count = (time.as_secs() / (SLICE + BARE_SLICE).as_secs()).max(3) as usize;
    let progress = Progress::start(count);
    progress.say(&format!(
        "At full speed for {time:?} ({count} slices of {SLICE:?}, each with {BARE_SLICE:?} of bare)"
    ));
    let mut service = Run::start(Peer::Service.setup(), bench, Some(&cores))?;
    let mut bare = Run::start(Peer::Bare.setup(), bench, Some(&cores))?;
    let mut slices = Vec::new();
    for index in 1..=count {
        let (micros, per_second) = slice(&mut service, SLICE)?;
        let (bare_micros, _) = slice(&mut bare, BARE_SLICE)?;
        let slice = Slice {
            ratio: micros / bare_micros,
            bare_micros,
            resident_mib: resident_mib(service.server.id())?,
            per_second,
        };
        progress.step(&format!(
            "{:.2} x bare, {:.1} MiB, {:.0} requests/s",
            slice.ratio, slice.resident_mib, slice.per_second
        ));
        if index == 1 || index == count || index % 12 == 0 {
            progress.say(&format!(
                "  slice {index:<4} {:.2} x bare, {:.1} MiB, {:.0} requests/s",
                slice.ratio, slice.resident_mib, slice.per_second
            ));
        }
        slices.push(slice);
    }
    let facts = service.end()?;
    bare.end()?;
    progress.say(&format!("  {:<14} {facts}", Peer::Service.name()));
    let mut reading = reading(&slices).context("compare the thirds of the run")?;
    reading.agreed(facts.agree());
    Ok(reading)
}

fn slice(run: &mut Run, time: Duration) -> Result<(f64, f64)> {
    let (before, started) = (used(run.server.id())?, Instant::now());
    let answered = run.at_full_speed(time)?;
    let cpu = used(run.server.id())?.saturating_sub(before);
    Ok((
        cpu.as_secs_f64() * 1e6 / answered as f64,
        answered as f64 / started.elapsed().as_secs_f64(),
    ))
}

/// `None` with fewer than three slices.
fn reading(slices: &[Slice]) -> Option<Reading> {
    let third = slices.len() / 3;
    let first = slices.get(..third).filter(|first| !first.is_empty())?;
    let last = slices.get(slices.len() - third..)?;
    let middle = slices.get(third..slices.len() - third)?;
    let middle_of = |slices: &[Slice], of: fn(&Slice) -> f64| median(slices.iter().map(of).collect());
    let at_start = middle_of(first, |slice| slice.ratio);
    let drift = last.iter().map(|slice| slice.ratio / at_start);
    let most = |slices: &[Slice]| slices.iter().map(|slice| slice.resident_mib).fold(0.0, f64::max);
    Some(Reading {
        figures: vec![
            Measured::new(&DRIFT, drift.collect()),
            Measured::once(&GROWTH, most(last) - most(first)),
        ],
        // One slow slice among hundreds says nothing of the whole.
        floor: [first, middle, last]
            .map(|slices| middle_of(slices, |slice| slice.bare_micros))
            .into(),
        ..Reading::default()
    })
}

#[cfg(test)]
mod tests {
    use super::{Slice, reading};

    #[test]
    fn the_last_third_is_held_against_the_first() {
        let slices: Vec<_> = (0..9)
            .map(|index| Slice {
                ratio: 1.0 + 0.1 * f64::from(index / 3),
                bare_micros: 1.0,
                resident_mib: 20.0 + f64::from(index),
                per_second: 1.0,
            })
            .collect();

        let values: Vec<_> = reading(&slices)
            .unwrap()
            .figures
            .iter()
            .map(|measured| measured.estimate.median)
            .collect();

        let [drift, growth] = values[..] else {
            panic!("{values:?}")
        };
        assert!((drift - 1.2).abs() < 1e-9);
        assert!((growth - 6.0).abs() < 1e-9);
        assert!(reading(&slices[..2]).is_none());
    }
}
