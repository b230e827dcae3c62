//! Samples made at scrape time: collectors, foreign families, the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gatewayz_metrics::{
    Family, ForeignFamilies, ForeignFamily, ForeignSeries, ForeignValue, Format, HistogramReading, Kind,
    Registry, RegistrySettings, Samples, SeriesError, Unit, process,
};

use crate::parser::scrape;

const SENT: Family = Family::counter("sent_total", "Sent.", &["exporter"]);
const QUEUED: Family = Family::gauge("queued", "Queued.", &["exporter"]);
const LATENCY: Family = Family::histogram("latency_seconds", "Latency.", &[], Unit::Seconds, &[1.0]);
const FAMILIES: &[Family] = &[SENT, QUEUED, LATENCY];
const ERRORS: &str = "telemetry_collect_errors_total";

fn registry() -> Registry {
    Registry::new(&[FAMILIES, process::FAMILIES], RegistrySettings::default()).unwrap()
}

#[test]
fn collected_samples_stand_in_their_families() {
    let registry = registry();
    registry.counter(&SENT, &["loki"]).unwrap().add(1);
    let collect = |samples: &mut Samples<'_>| {
        samples.counter(&SENT, &["otlp"], 7);
        samples.gauge(&QUEUED, &["otlp"], 2.5);
        samples.histogram(
            &LATENCY,
            &[],
            HistogramReading {
                buckets: &[3, 1],
                sum: 4_500_000_000,
            },
        );
    };
    registry.collector(FAMILIES, Box::new(collect)).unwrap();

    let page = scrape(&registry, Format::OpenMetrics);

    assert_eq!(page.value("sent_total", &[("exporter", "loki")]), "1");
    assert_eq!(page.value("sent_total", &[("exporter", "otlp")]), "7");
    assert_eq!(page.value("queued", &[("exporter", "otlp")]), "2.5");
    assert_eq!(page.value("latency_seconds_bucket", &[("le", "1.0")]), "3");
    assert_eq!(page.value("latency_seconds_count", &[]), "4");
    assert_eq!(page.value("latency_seconds_sum", &[]), "4.5");
    assert_eq!(page.value(ERRORS, &[]), "0");
}

#[test]
fn a_panicking_collector_does_not_break_the_page() {
    let registry = registry();
    let broken = |samples: &mut Samples<'_>| {
        samples.gauge(&QUEUED, &["half"], 1.0);
        panic!("a collector fails");
    };
    registry.collector(&[QUEUED], Box::new(broken)).unwrap();
    registry
        .collector(
            &[QUEUED],
            Box::new(|samples: &mut Samples<'_>| samples.gauge(&QUEUED, &["good"], 1.0)),
        )
        .unwrap();

    let page = scrape(&registry, Format::Text);

    assert_eq!(page.count("queued"), 1);
    assert_eq!(page.value("queued", &[("exporter", "good")]), "1");
    assert_eq!(page.value(ERRORS, &[]), "1");
    assert_eq!(scrape(&registry, Format::Text).value(ERRORS, &[]), "2");
}

#[test]
fn a_page_is_whole_again_when_its_collector_is_well() {
    let registry = registry();
    let fails = Arc::new(AtomicBool::new(true));
    let failing = Arc::clone(&fails);
    let collect = move |_: &mut Samples<'_>| assert!(!failing.load(Ordering::Relaxed), "a collector fails");
    registry.collector(&[QUEUED], Box::new(collect)).unwrap();
    assert!(!registry.last_page_failed());

    scrape(&registry, Format::Text);
    let failed = registry.last_page_failed();
    fails.store(false, Ordering::Relaxed);
    scrape(&registry, Format::Text);

    assert_eq!((failed, registry.last_page_failed()), (true, false));
}

#[test]
fn a_collector_cannot_write_a_series_twice_or_outside_the_catalog() {
    const STRANGER: Family = Family::gauge("stranger", "Unknown.", &[]);
    let registry = registry();
    registry.counter(&SENT, &["loki"]).unwrap().add(5);
    let collect = |samples: &mut Samples<'_>| {
        samples.counter(&SENT, &["loki"], 1);
        samples.gauge(&QUEUED, &["a"], 1.0);
        samples.gauge(&QUEUED, &["a"], 2.0);
        samples.gauge(&STRANGER, &[], 1.0);
        samples.gauge(&QUEUED, &[], 1.0);
        samples.histogram(
            &LATENCY,
            &[],
            HistogramReading {
                buckets: &[1],
                sum: 1,
            },
        );
    };
    registry.collector(FAMILIES, Box::new(collect)).unwrap();

    let page = scrape(&registry, Format::Text);

    assert_eq!(page.value("sent_total", &[("exporter", "loki")]), "5");
    assert_eq!(page.value("queued", &[("exporter", "a")]), "1");
    assert_eq!(page.value(ERRORS, &[]), "5");
    let refused = registry.collector(&[STRANGER], Box::new(|_: &mut Samples<'_>| {}));
    assert_eq!(refused, Err(SeriesError::UnknownFamily { name: "stranger" }));
}

struct Other;

impl ForeignFamilies for Other {
    fn gather(&self) -> Vec<ForeignFamily> {
        let family = |name: &str, kind, labels: &[(&str, &str)], value| {
            let labels = labels
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            let series = vec![ForeignSeries { labels, value }];
            ForeignFamily {
                name: name.to_owned(),
                help: "Other.".to_owned(),
                kind,
                series,
            }
        };
        let buckets = vec![(0.5, 1), (1.0, 2), (f64::INFINITY, 3)];
        vec![
            family(
                "scrapes",
                Kind::Counter,
                &[("code", "2\"0\n")],
                ForeignValue::Number(4.0),
            ),
            family(
                "scrape_seconds",
                Kind::Histogram,
                &[],
                ForeignValue::Histogram {
                    buckets,
                    sum: 2.5,
                    count: 3,
                },
            ),
            family("queued", Kind::Gauge, &[], ForeignValue::Number(1.0)),
            family("bad name", Kind::Gauge, &[], ForeignValue::Number(1.0)),
            family(
                "bad_label",
                Kind::Gauge,
                &[("a-b", "")],
                ForeignValue::Number(1.0),
            ),
            family("bad_value", Kind::Histogram, &[], ForeignValue::Number(1.0)),
        ]
    }
}

#[test]
fn foreign_families_join_both_pages_unless_they_would_break_them() {
    let registry = registry();
    registry.foreign(Box::new(Other));

    let text = scrape(&registry, Format::Text);
    assert_eq!(text.value("scrapes_total", &[("code", "2\"0\n")]), "4");
    assert_eq!(text.value("scrape_seconds_bucket", &[("le", "0.5")]), "1");
    assert_eq!(text.value("scrape_seconds_bucket", &[("le", "+Inf")]), "3");
    assert_eq!(text.value("scrape_seconds_count", &[]), "3");
    assert_eq!(text.count("queued"), 0);
    assert_eq!(text.value(ERRORS, &[]), "4");

    let open_metrics = scrape(&registry, Format::OpenMetrics);
    assert_eq!(open_metrics.value("scrape_seconds_sum", &[]), "2.5");
    assert_eq!(open_metrics.value("scrapes_total", &[("code", "2\"0\n")]), "4");
}

#[test]
#[cfg(target_os = "linux")]
fn the_process_shows_its_figures() {
    let registry = registry();
    process::register(&registry).unwrap();

    let page = scrape(&registry, Format::OpenMetrics);

    for family in process::FAMILIES {
        let value: f64 = page.value(family.name, &[]).parse().unwrap();
        let least = if family.kind == Kind::Counter { 0.0 } else { 1.0 };
        assert!(value >= least, "{} is {value}", family.name);
    }
    assert_eq!(page.value(ERRORS, &[]), "0");
}
