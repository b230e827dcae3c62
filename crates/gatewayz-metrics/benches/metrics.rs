//! What an update takes, and what a page takes.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up has nothing to measure"
)]

use std::sync::OnceLock;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use gatewayz_metrics::{Exemplar, Family, Format, Registry, RegistrySettings, Unit};

const REQUESTS: Family = Family::counter(
    "bench_requests_total",
    "Requests.",
    &["method", "path", "status_code"],
)
.with_series_limit(1_000_000);
const DURATION: Family = Family::histogram(
    "bench_duration_seconds",
    "Time of a request.",
    &["path"],
    Unit::Seconds,
    &[
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
    ],
);
const FAMILIES: &[Family] = &[REQUESTS, DURATION];

fn main() {
    divan::main();
}

fn registry(series: usize) -> Registry {
    let settings = RegistrySettings {
        series_limit: 1_000_000,
        ..RegistrySettings::default()
    };
    let registry = Registry::new(&[FAMILIES], settings).unwrap();
    for index in 0..series {
        let path = format!("/api/items/{index}");
        registry
            .counter(&REQUESTS, &["GET", &path, "200"])
            .unwrap()
            .add(index as u64);
    }
    registry
}

#[divan::bench]
fn count(bencher: Bencher<'_, '_>) {
    let counter = registry(0).counter(&REQUESTS, &["GET", "/", "200"]).unwrap();

    bencher.bench(|| counter.increment());
}

#[divan::bench]
fn observe(bencher: Bencher<'_, '_>) {
    let histogram = registry(0).histogram(&DURATION, &["/"]).unwrap();

    bencher.bench(|| histogram.observe(black_box(42_000), None));
}

/// As a sampled request does, within the time in which a bucket keeps its exemplar.
#[divan::bench]
fn observe_with_exemplar(bencher: Bencher<'_, '_>) {
    let histogram = registry(0).histogram(&DURATION, &["/"]).unwrap();
    let exemplar = Exemplar {
        trace_id: [7; 16],
        span_id: Some([7; 8]),
        timestamp_nanos: 1_790_000_000_000_000_000,
    };

    bencher.bench(|| histogram.observe(black_box(42_000), Some(black_box(exemplar))));
}

/// What a handle saves, once it is kept.
#[divan::bench]
fn resolve(bencher: Bencher<'_, '_>) {
    let registry = registry(1_000);

    bencher.bench(|| registry.counter(&REQUESTS, &["GET", black_box("/api/items/500"), "200"]));
}

#[divan::bench(args = [1_000, 10_000], sample_count = 20)]
fn render(bencher: Bencher<'_, '_>, series: usize) {
    static REGISTRIES: OnceLock<[(usize, Registry); 2]> = OnceLock::new();
    let registries = REGISTRIES.get_or_init(|| [1_000, 10_000].map(|series| (series, registry(series))));
    let (_, registry) = registries.iter().find(|(own, _)| *own == series).unwrap();
    let mut page = Vec::new();

    bencher.counter(ItemsCount::new(series)).bench_local(|| {
        page.clear();
        registry.render(Format::Text, &mut page);
        page.len()
    });
}
