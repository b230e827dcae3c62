//! Prints what a page of 1,000, 10,000 and 100,000 series costs, and what one update costs.
#![expect(clippy::print_stdout, reason = "the figures are the purpose of the program")]

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use gatewayz_metrics::{Exemplar, Family, Format, Registry, RegistrySettings, Unit};

const LABELS: &[&str] = &["app_name", "method", "path", "status_code"];
const COUNTER: Family = Family::counter("requests_total", "Requests.", LABELS).with_series_limit(usize::MAX);
const HISTOGRAM: Family = Family::histogram(
    "requests_duration_seconds",
    "Time.",
    LABELS,
    Unit::Seconds,
    &[
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
    ],
)
.with_series_limit(usize::MAX);
const FAMILIES: &[Family] = &[COUNTER, HISTOGRAM];
/// Lines of one histogram series: 17 buckets, sum and count.
const HISTOGRAM_LINES: usize = 19;
const RENDERS: u32 = 20;
const UPDATES: u32 = 10_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    println!("sample lines | kind      | format      |     page |  median | per line");
    for lines in [1_000, 10_000, 100_000] {
        for (kind, per_series) in [("counter", 1), ("histogram", HISTOGRAM_LINES)] {
            let registry = filled(lines / per_series, per_series > 1)?;
            for format in [Format::Text, Format::OpenMetrics] {
                let (median, bytes) = render_time(&registry, format);
                let (format, kilobytes) = (format!("{format:?}"), bytes / 1_000);
                let per_line = median / u32::try_from(lines)?;
                println!(
                    "{lines:12} | {kind:9} | {format:11} | {kilobytes:5} kB | {median:>7.2?} | {per_line:.0?}"
                );
            }
        }
    }
    update_times(&filled(1, true)?)
}

fn filled(series: usize, histograms: bool) -> Result<Registry, Box<dyn Error>> {
    let settings = RegistrySettings {
        series_limit: usize::MAX,
        ..RegistrySettings::default()
    };
    let registry = Registry::new(&[FAMILIES], settings)?;
    for number in 0..series {
        let path = format!("/api/route/{number}/{{id}}");
        let labels = ["gatewayz", "GET", path.as_str(), "200"];
        if histograms {
            let histogram = registry.histogram(&HISTOGRAM, &labels)?;
            (0..20).for_each(|power| histogram.observe(1 << (power + 18), None));
        } else {
            registry
                .counter(&COUNTER, &labels)?
                .add(u64::try_from(number)? * 1_000);
        }
    }
    Ok(registry)
}

fn render_time(registry: &Registry, format: Format) -> (Duration, usize) {
    let mut page = Vec::new();
    let mut times: Vec<_> = (0..RENDERS)
        .map(|_| {
            page.clear();
            let start = Instant::now();
            registry.render(format, black_box(&mut page));
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    (
        times.get(times.len() / 2).copied().unwrap_or_default(),
        page.len(),
    )
}

fn update_times(registry: &Registry) -> Result<(), Box<dyn Error>> {
    let labels = ["gatewayz", "GET", "/", "200"];
    let counter = registry.counter(&COUNTER, &labels)?;
    let histogram = registry.histogram(&HISTOGRAM, &labels)?;
    let exemplar = Exemplar {
        trace_id: [7; 16],
        span_id: Some([7; 8]),
        timestamp_nanos: 1,
    };

    println!("\nupdate                  | time");
    let report = |name: &str, update: &dyn Fn(u64)| {
        let start = Instant::now();
        (0..u64::from(UPDATES)).for_each(update);
        println!("{name:23} | {:.1?}", start.elapsed() / UPDATES);
    };
    report("counter", &|_| counter.increment());
    report("histogram", &|number| histogram.observe(number << 10, None));
    report("histogram with exemplar", &|number| {
        histogram.observe(
            number << 10,
            Some(Exemplar {
                timestamp_nanos: 1_000_000_000 + number,
                ..exemplar
            }),
        );
    });
    Ok(())
}
