//! Any label values and any interleaving of updates.

use std::collections::BTreeMap;

use gatewayz_metrics::{Exemplar, Family, Format, Registry, RegistrySettings, Unit};
use proptest::prelude::*;

use crate::parser::scrape;

const EVENTS: Family = Family::counter("events_total", "Any.", &["a", "b"]);
const RUNNING: Family = Family::gauge("running", "Any.", &["a", "b"]);
const SIZES: Family = Family::histogram("size_bytes", "Any.", &["a", "b"], Unit::Bytes, &[10.0, 1000.0]);
const FAMILIES: &[Family] = &[EVENTS, RUNNING, SIZES];

const THREADS: usize = 4;

#[derive(Debug, Clone)]
struct Update {
    thread: usize,
    series: usize,
    add: u64,
    change: bool,
    observe: u64,
}

#[derive(Debug, Default, PartialEq)]
struct Expected {
    events: u64,
    running: i64,
    buckets: [u64; 3],
    sum: u64,
}

fn update() -> impl Strategy<Value = Update> {
    (
        0..THREADS,
        0..6_usize,
        0..1_000_000_u64,
        any::<bool>(),
        0..3_000_u64,
    )
        .prop_map(|(thread, series, add, change, observe)| Update {
            thread,
            series,
            add,
            change,
            observe,
        })
}

/// What the page must show of a value: at most 256 bytes of whole characters, none of them a control.
fn shown(value: &str) -> String {
    let mut cut = value;
    while cut.len() > 256 {
        let mut characters = cut.chars();
        characters.next_back();
        cut = characters.as_str();
    }
    let unprintable = |character: char| {
        (character.is_control() && character != '\n') || "\u{2028}\u{2029}".contains(character)
    };
    cut.replace(unprintable, "\u{fffd}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn sums_are_exact_and_both_pages_parse(
        labels in proptest::collection::vec(("(?s).{0,300}", any::<String>()), 6),
        updates in proptest::collection::vec(update(), 0..200),
    ) {
        let registry = Registry::new(&[FAMILIES], RegistrySettings::default()).unwrap();

        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let mine = updates.iter().filter(move |update| update.thread == thread);
                let (registry, labels) = (&registry, &labels);
                scope.spawn(move || {
                    for update in mine {
                        let (a, b) = &labels[update.series];
                        let values = [a.as_str(), b.as_str()];
                        registry.counter(&EVENTS, &values).unwrap().add(update.add);
                        let running = registry.gauge(&RUNNING, &values).unwrap();
                        if update.change { running.increment() } else { running.decrement() }
                        let exemplar =
                            Exemplar { trace_id: [1; 16], span_id: None, timestamp_nanos: update.add * 1_000_000_000 };
                        let exemplar = update.change.then_some(exemplar);
                        registry.histogram(&SIZES, &values).unwrap().observe(update.observe, exemplar);
                    }
                });
            }
        });

        let mut expected: BTreeMap<_, Expected> = BTreeMap::new();
        for update in &updates {
            let (a, b) = &labels[update.series];
            let series = expected.entry((shown(a), shown(b))).or_default();
            series.events += update.add;
            series.running += if update.change { 1 } else { -1 };
            series.buckets[usize::from(update.observe > 10) + usize::from(update.observe > 1_000)] += 1;
            series.sum += update.observe;
        }
        let text = scrape(&registry, Format::Text);
        let open_metrics = scrape(&registry, Format::OpenMetrics);
        prop_assert_eq!(&text.samples, &open_metrics.samples);
        prop_assert_eq!(text.count("events_total"), expected.len());
        for ((a, b), series) in &expected {
            let labels = [("a", a.as_str()), ("b", b.as_str())];
            let number = |name: &str, more: &[(&str, &str)]| text.value(name, &[&labels, more].concat()).to_owned();
            let [first, second, third] = series.buckets;
            prop_assert_eq!(number("events_total", &[]), series.events.to_string());
            prop_assert_eq!(number("running", &[]), series.running.to_string());
            prop_assert_eq!(number("size_bytes_bucket", &[("le", "10.0")]), first.to_string());
            prop_assert_eq!(number("size_bytes_bucket", &[("le", "1000.0")]), (first + second).to_string());
            let count = (first + second + third).to_string();
            prop_assert_eq!(number("size_bytes_bucket", &[("le", "+Inf")]), &*count);
            prop_assert_eq!(number("size_bytes_count", &[]), &*count);
            prop_assert_eq!(number("size_bytes_sum", &[]), series.sum.to_string());
        }
    }
}

#[test]
fn every_page_rendered_during_updates_holds_together() {
    let registry = Registry::new(&[FAMILIES], RegistrySettings::default()).unwrap();

    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let registry = &registry;
            scope.spawn(move || {
                for number in 0..2_000_u64 {
                    let series = (number % 300).to_string();
                    registry
                        .histogram(&SIZES, &[&series, &thread.to_string()])
                        .unwrap()
                        .observe(number, None);
                }
            });
        }
        for _ in 0..20 {
            let page = scrape(&registry, Format::OpenMetrics);
            let buckets = page
                .samples
                .iter()
                .filter(|((name, _), _)| name == "size_bytes_bucket");
            for ((_, labels), value) in buckets.filter(|((_, labels), _)| labels["le"] == "+Inf") {
                assert_eq!(
                    page.value("size_bytes_count", &[("a", &labels["a"]), ("b", &labels["b"])]),
                    value
                );
            }
        }
    });
}
