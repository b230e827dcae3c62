//! What a client sends cannot grow the page.

use gatewayz_metrics::{Family, Format, Registry, RegistrySettings, SeriesError, Unit};

use crate::parser::scrape;

const CALLS: Family = Family::counter("calls_total", "Calls.", &["model", "status"]).with_series_limit(100);
const TIMES: Family = Family::histogram("call_seconds", "Time.", &["model"], Unit::Seconds, &[1.0]);
const LEVEL: Family = Family::gauge("level", "Level.", &[]);
const FAMILIES: &[Family] = &[CALLS, TIMES, LEVEL];
const OVERFLOW: &str = "telemetry_label_overflow_total";

#[test]
fn a_million_label_values_stay_within_the_series_limit_and_are_counted() {
    let registry = Registry::new(&[FAMILIES], RegistrySettings::default()).unwrap();

    for number in 0..1_000_000_u64 {
        // An odd multiplier visits every value once, in no order.
        let model = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string();
        registry
            .counter(&CALLS, &[&model, "success"])
            .unwrap()
            .increment();
    }

    let page = scrape(&registry, Format::Text);
    assert_eq!(page.count("calls_total"), 101);
    assert_eq!(
        page.value("calls_total", &[("model", "__other__"), ("status", "__other__")]),
        "999900"
    );
    assert_eq!(page.value(OVERFLOW, &[("metric", "calls_total")]), "999900");
    assert_eq!(page.value(OVERFLOW, &[("metric", "call_seconds")]), "0");
}

#[test]
fn all_families_together_stay_within_the_limit_of_the_registry() {
    let settings = RegistrySettings {
        series_limit: 10,
        ..RegistrySettings::default()
    };
    let registry = Registry::new(&[FAMILIES], settings).unwrap();

    for number in 0..8 {
        registry
            .counter(&CALLS, &[&number.to_string(), ""])
            .unwrap()
            .increment();
        registry
            .histogram(&TIMES, &[&number.to_string()])
            .unwrap()
            .observe(1, None);
    }
    registry.gauge(&LEVEL, &[]).unwrap().set(1.0);

    let page = scrape(&registry, Format::Text);
    assert_eq!(
        page.count("calls_total") + page.count("call_seconds_count"),
        10 + 2
    );
    assert_eq!(page.value("call_seconds_count", &[("model", "__other__")]), "3");
    assert_eq!(page.value("level", &[]), "1");
}

#[test]
fn a_client_that_names_itself_other_shares_that_series() {
    let registry = Registry::new(&[FAMILIES], RegistrySettings::default()).unwrap();
    registry
        .counter(&CALLS, &["__other__", "__other__"])
        .unwrap()
        .increment();

    for number in 0..100 {
        registry
            .counter(&CALLS, &[&number.to_string(), ""])
            .unwrap()
            .increment();
    }

    let page = scrape(&registry, Format::Text);
    assert_eq!(page.count("calls_total"), 100);
    assert_eq!(
        page.value("calls_total", &[("model", "__other__"), ("status", "__other__")]),
        "2"
    );
    assert_eq!(page.value(OVERFLOW, &[("metric", "calls_total")]), "1");
}

#[test]
fn the_same_labels_give_the_same_series_on_every_thread() {
    let registry = Registry::new(&[FAMILIES], RegistrySettings::default()).unwrap();

    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for number in 0..50 {
                    registry
                        .counter(&CALLS, &[&number.to_string(), ""])
                        .unwrap()
                        .increment();
                }
            });
        }
    });

    let page = scrape(&registry, Format::Text);
    assert_eq!(page.count("calls_total"), 50);
    for number in 0..50 {
        assert_eq!(
            page.value("calls_total", &[("model", &number.to_string()), ("status", "")]),
            "8"
        );
    }
}

#[test]
fn a_wrong_handle_is_refused() {
    const SAME_NAME: Family = Family::counter("calls_total", "Calls.", &["model", "state"]);
    let registry = Registry::new(&[FAMILIES], RegistrySettings::default()).unwrap();

    let wrong_kind = registry.gauge(&CALLS, &["", ""]).unwrap_err();
    let wrong_count = registry.counter(&CALLS, &[""]).unwrap_err();
    let wrong_labels = registry.counter(&SAME_NAME, &["", ""]).unwrap_err();

    assert!(matches!(
        wrong_kind,
        SeriesError::WrongKind {
            name: "calls_total",
            ..
        }
    ));
    assert_eq!(
        wrong_count,
        SeriesError::LabelCount {
            name: "calls_total",
            expected: 2,
            given: 1
        }
    );
    assert_eq!(wrong_labels, SeriesError::UnknownFamily { name: "calls_total" });
}
