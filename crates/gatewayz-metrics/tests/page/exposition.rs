//! Golden pages, aliases and exemplars.

use gatewayz_metrics::{Alias, Exemplar, Family, Format, Kind, Registry, RegistrySettings, Unit};

use crate::parser::{rendered, scrape};

const REQUESTS: Family =
    Family::counter("requests_total", "Requests \"served\".", &["method"]).with_alias(&[
        Alias::always("responses_total", "Responses."),
        Alias::legacy("old_requests_total", "Old name of requests_total."),
    ]);
const DURATION: Family = Family::histogram(
    "request_duration_seconds",
    "Time.",
    &["method"],
    Unit::Seconds,
    &[0.25, 1.0],
);
const QUEUED: Family = Family::gauge("queued_bytes", "A\\b\nc.", &[]).with_unit(Unit::Bytes);
const CREDITS: Family = Family::counter("credits_total", "Money.", &[]).with_steps_per_unit(1_000_000_000);
const EMPTY: Family = Family::gauge("error_rate", "Failed share.", &["provider"]).with_unit(Unit::Ratio);
const FAMILIES: &[Family] = &[REQUESTS, DURATION, QUEUED, CREDITS, EMPTY];

const EXEMPLAR: Exemplar = Exemplar {
    trace_id: [0xab; 16],
    span_id: Some([0x01; 8]),
    timestamp_nanos: 1_700_000_000_123_456_789,
};

fn small_registry(settings: RegistrySettings) -> Registry {
    let registry = Registry::new(&[FAMILIES], settings).unwrap();
    registry.counter(&REQUESTS, &["GET"]).unwrap().add(3);
    let duration = registry.histogram(&DURATION, &["GET"]).unwrap();
    duration.observe(250_000_000, Some(EXEMPLAR));
    duration.observe(1_500_000_000, None);
    registry.gauge(&QUEUED, &[]).unwrap().set(1.5);
    registry.counter(&CREDITS, &[]).unwrap().add(1_000_000_025);
    registry
}

#[test]
fn the_text_page_is_as_published() {
    let page = rendered(&small_registry(RegistrySettings::default()), Format::Text);

    let expected = r##"# HELP requests_total Requests "served".
# TYPE requests_total counter
requests_total{method="GET"} 3
# HELP responses_total Responses.
# TYPE responses_total counter
responses_total{method="GET"} 3
# HELP request_duration_seconds Time.
# TYPE request_duration_seconds histogram
request_duration_seconds_bucket{method="GET",le="0.25"} 1
request_duration_seconds_bucket{method="GET",le="1.0"} 1
request_duration_seconds_bucket{method="GET",le="+Inf"} 2
request_duration_seconds_sum{method="GET"} 1.75
request_duration_seconds_count{method="GET"} 2
# HELP queued_bytes A\\b\nc.
# TYPE queued_bytes gauge
queued_bytes 1.5
# HELP credits_total Money.
# TYPE credits_total counter
credits_total 1.000000025
# HELP error_rate Failed share.
# TYPE error_rate gauge
# HELP telemetry_label_overflow_total Label sets beyond the series limit of a metric, recorded in its __other__ series.
# TYPE telemetry_label_overflow_total counter
telemetry_label_overflow_total{metric="requests_total"} 0
telemetry_label_overflow_total{metric="request_duration_seconds"} 0
telemetry_label_overflow_total{metric="error_rate"} 0
# HELP telemetry_collect_errors_total Collectors that failed and samples that were refused while a scrape was answered.
# TYPE telemetry_collect_errors_total counter
telemetry_collect_errors_total 0
"##;
    assert_eq!(page, expected);
}

#[test]
fn the_open_metrics_page_is_as_published() {
    let page = rendered(&small_registry(RegistrySettings::default()), Format::OpenMetrics);

    let expected = r##"# HELP requests Requests \"served\".
# TYPE requests counter
requests_total{method="GET"} 3
# HELP responses Responses.
# TYPE responses counter
responses_total{method="GET"} 3
# HELP request_duration_seconds Time.
# TYPE request_duration_seconds histogram
# UNIT request_duration_seconds seconds
request_duration_seconds_bucket{method="GET",le="0.25"} 1 # {trace_id="abababababababababababababababab",span_id="0101010101010101"} 0.25 1700000000.123
request_duration_seconds_bucket{method="GET",le="1.0"} 1
request_duration_seconds_bucket{method="GET",le="+Inf"} 2
request_duration_seconds_sum{method="GET"} 1.75
request_duration_seconds_count{method="GET"} 2
# HELP queued_bytes A\\b\nc.
# TYPE queued_bytes gauge
# UNIT queued_bytes bytes
queued_bytes 1.5
# HELP credits Money.
# TYPE credits counter
credits_total 1.000000025
# HELP error_rate Failed share.
# TYPE error_rate gauge
# HELP telemetry_label_overflow Label sets beyond the series limit of a metric, recorded in its __other__ series.
# TYPE telemetry_label_overflow counter
telemetry_label_overflow_total{metric="requests_total"} 0
telemetry_label_overflow_total{metric="request_duration_seconds"} 0
telemetry_label_overflow_total{metric="error_rate"} 0
# HELP telemetry_collect_errors Collectors that failed and samples that were refused while a scrape was answered.
# TYPE telemetry_collect_errors counter
telemetry_collect_errors_total 0
# EOF
"##;
    assert_eq!(page, expected);
}

#[test]
fn legacy_names_are_written_on_request_only() {
    let settings = RegistrySettings {
        legacy_aliases: true,
        ..RegistrySettings::default()
    };

    let without = small_registry(RegistrySettings::default());
    let with = small_registry(settings);

    assert_eq!(scrape(&without, Format::Text).count("old_requests_total"), 0);
    assert_eq!(
        scrape(&with, Format::Text).value("old_requests_total", &[("method", "GET")]),
        "3"
    );
    assert!(
        with.exposed()
            .any(|exposed| exposed.name == "old_requests_total" && exposed.kind == Kind::Counter)
    );
    assert!(
        !without
            .exposed()
            .any(|exposed| exposed.name == "old_requests_total")
    );
}

#[test]
fn both_formats_show_the_same_samples() {
    let registry = small_registry(RegistrySettings {
        legacy_aliases: true,
        ..RegistrySettings::default()
    });

    let text = scrape(&registry, Format::Text);
    let open_metrics = scrape(&registry, Format::OpenMetrics);

    assert_eq!(text.samples, open_metrics.samples);
    assert_eq!(text.exemplars.len(), 0);
    assert_eq!(open_metrics.exemplars.len(), 1);
}

#[test]
fn gauges_that_are_not_finite_are_spelled_as_the_formats_ask() {
    let registry = small_registry(RegistrySettings::default());

    for (value, expected) in [
        (f64::NAN, "NaN"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
    ] {
        registry.gauge(&QUEUED, &[]).unwrap().set(value);
        assert_eq!(
            scrape(&registry, Format::OpenMetrics).value("queued_bytes", &[]),
            expected
        );
    }
}

#[test]
fn the_catalog_is_shown_in_its_order_with_the_registrys_own_last() {
    let registry = small_registry(RegistrySettings::default());

    let names: Vec<_> = registry.families().map(|family| family.name).collect();

    let own = gatewayz_metrics::FAMILIES.iter();
    let expected: Vec<_> = FAMILIES.iter().chain(own).map(|family| family.name).collect();
    assert_eq!(names, expected);
    assert!(
        Registry::new(
            &[gatewayz_metrics::FAMILIES, FAMILIES],
            RegistrySettings::default()
        )
        .is_ok()
    );
}
