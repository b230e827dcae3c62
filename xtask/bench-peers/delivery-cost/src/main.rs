//! `delivery-cost none|loki|otlp URL RECORDS_PER_SECOND SECONDS`: pushes at that rate and prints
//! `RECORDS DELIVERED LOST CPU_NANOS` of the whole process. `none` keeps the pace and pushes nothing.

mod lines;
mod spans;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use gatewayz_delivery::Delivery;
use rustix::time::{ClockId, clock_gettime};
use workload::argument;

/// Between two bursts of records.
const TICK: Duration = Duration::from_millis(10);

fn main() -> Result<()> {
    let url = argument(2, "URL")?;
    let per_second: u64 = argument(3, "rate")?.parse().context("read the rate")?;
    let seconds: u64 = argument(4, "duration")?.parse().context("read the duration")?;
    let per_tick = per_second * TICK.as_millis() as u64 / 1_000;
    let ticks = seconds * 1_000 / TICK.as_millis() as u64;
    let records = per_tick * ticks;
    let (delivered, lost, cpu_nanos) = match argument(1, "destination")?.as_str() {
        "none" => (records, 0, at_pace(ticks, || {})),
        "loki" => {
            let mut lines = lines::Lines::new(&url)?;
            lines.push();
            connected(&lines.delivery)?;
            let cpu_nanos = at_pace(ticks, || (0..per_tick).for_each(|_| lines.push()));
            end(&lines.delivery, cpu_nanos)
        }
        "otlp" => {
            let spans = spans::Spans::new(&url)?;
            spans.push();
            connected(&spans.delivery)?;
            let cpu_nanos = at_pace(ticks, || (0..per_tick).for_each(|_| spans.push()));
            end(&spans.delivery, cpu_nanos)
        }
        _ => bail!("read argument 1: neither none, loki nor otlp"),
    };
    println!("{records} {delivered} {lost} {cpu_nanos}");
    Ok(())
}

/// A process connects once; that is no cost of a record.
fn connected(delivery: &Delivery) -> Result<()> {
    ensure!(
        delivery.flush(workload::FLUSH).delivered == 1,
        "reach the destination"
    );
    Ok(())
}

/// The CPU time it took.
fn at_pace(ticks: u64, mut work: impl FnMut()) -> u64 {
    let before = cpu_nanos();
    let mut next = Instant::now();
    for _ in 0..ticks {
        work();
        next += TICK;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    cpu_nanos() - before
}

/// Adds what the last records take. The first record is not counted.
fn end(delivery: &Delivery, cpu_nanos_so_far: u64) -> (u64, u64, u64) {
    let before = cpu_nanos();
    let status = delivery.shutdown(Instant::now() + workload::FLUSH);
    let cpu_nanos = cpu_nanos_so_far + cpu_nanos() - before;
    (status.delivered - 1, status.discarded_total(), cpu_nanos)
}

fn cpu_nanos() -> u64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as u64 * 1_000_000_000 + used.tv_nsec as u64
}
