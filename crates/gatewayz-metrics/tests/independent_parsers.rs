//! The page in the eyes of parsers that are not ours: promtool and the Python client.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
use std::collections::BTreeMap;

use gatewayz_metrics::{
    Alias, Exemplar, Family, ForeignFamilies, ForeignFamily, ForeignSeries, ForeignValue, Format, Kind,
    Registry, RegistrySettings, Unit, process,
};
use gatewayz_testkit::parsers::{PageFormat, ParserError, ReadSample, promtool, python_client};
use gatewayz_testkit::skip;

const REQUESTS: Family = Family::counter("fastapi_requests_total", "Requests.", &["method", "path"])
    .with_alias(&[Alias::always("fastapi_responses_total", "Responses.")]);
const DURATION: Family = Family::histogram(
    "fastapi_requests_duration_seconds",
    "Time to the last byte, with \"quotes\", a \\ and\na line break.",
    &["method", "path"],
    Unit::Seconds,
    &[0.001, 0.0025, 1.0, 120.0],
)
.with_alias(&[Alias::legacy("fastapi_request_duration_seconds", "Old name.")]);
const SIZE: Family = Family::histogram(
    "fastapi_request_size_bytes",
    "Size.",
    &[],
    Unit::Bytes,
    &[1024.0, 1_048_576.0],
);
const RATE: Family = Family::gauge("provider_error_rate", "Share.", &["provider"]).with_unit(Unit::Ratio);
const UNUSED: Family = Family::counter("panics_total", "Panics.", &["place"]);
const FAMILIES: &[Family] = &[REQUESTS, DURATION, SIZE, RATE, UNUSED];

struct Other;

impl ForeignFamilies for Other {
    fn gather(&self) -> Vec<ForeignFamily> {
        let buckets = vec![(0.005, 1), (2.5, 2)];
        let labels = vec![("endpoint".to_owned(), "/metrics".to_owned())];
        let family = |name: &str, kind, value| ForeignFamily {
            name: name.to_owned(),
            help: "Of another library.".to_owned(),
            kind,
            series: vec![ForeignSeries {
                labels: labels.clone(),
                value,
            }],
        };
        vec![
            family("plane_requests_total", Kind::Counter, ForeignValue::Number(2.0)),
            family(
                "plane_seconds",
                Kind::Histogram,
                ForeignValue::Histogram {
                    buckets,
                    sum: 0.75,
                    count: 2,
                },
            ),
        ]
    }
}

fn pages() -> [String; 2] {
    let settings = RegistrySettings {
        legacy_aliases: true,
        ..RegistrySettings::default()
    };
    // Without the process figures: they differ from page to page.
    let registry = Registry::new(&[FAMILIES, process::FAMILIES], settings).unwrap();
    let hostile = "q\" b\\ n\n r\r t\t 0\u{0} c1\u{85} ls\u{2028} {a=\"b\"} # {} 1 \u{1f980}";
    for (path, count) in [("/", 1), ("/api/users/{id}", 70), (hostile, 3)] {
        registry.counter(&REQUESTS, &["GET", path]).unwrap().add(count);
        for number in 0..count {
            let exemplar = Exemplar {
                trace_id: [0xfe; 16],
                span_id: (number % 2 == 0).then_some([0x1d; 8]),
                timestamp_nanos: 1_700_000_000_000_000_000 + number * 200_000_000,
            };
            registry
                .histogram(&DURATION, &["GET", path])
                .unwrap()
                .observe(number * 999_999_937, Some(exemplar));
        }
    }
    registry.histogram(&SIZE, &[]).unwrap().observe(5_000, None);
    for (provider, rate) in [
        ("a", 0.1),
        ("b", f64::NAN),
        ("c", f64::INFINITY),
        ("d", f64::NEG_INFINITY),
        ("e", 1e-9),
    ] {
        registry.gauge(&RATE, &[provider]).unwrap().set(rate);
    }
    registry.foreign(Box::new(Other));
    [Format::Text, Format::OpenMetrics].map(|format| {
        let mut page = Vec::new();
        registry.render(format, &mut page);
        String::from_utf8(page).unwrap()
    })
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    let [text, _] = pages();

    let accepted = promtool(&text);

    if let Err(ParserError::Missing(reason)) = &accepted {
        return skip("promtool_finds_nothing_to_complain_about", reason);
    }
    accepted.unwrap();
}

#[test]
fn the_python_client_reads_the_same_samples_from_both_pages() {
    let [text, open_metrics] = pages();

    let from_text = python_client(PageFormat::Text, &text);
    let from_open_metrics = python_client(PageFormat::OpenMetrics, &open_metrics);

    if let Err(ParserError::Missing(reason)) = &from_text {
        return skip("the_python_client_reads_the_same_samples_from_both_pages", reason);
    }
    let (from_text, from_open_metrics) = (from_text.unwrap(), from_open_metrics.unwrap());
    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
    let exemplars = open_metrics.matches(" # {trace_id=\"").count();
    assert_eq!(from_text.len(), samples);
    assert_eq!(values(&from_text), values(&from_open_metrics));
    assert_eq!(
        from_text
            .iter()
            .filter(|sample| sample.exemplar.is_some())
            .count(),
        0
    );
    assert!(exemplars > 10);
    assert_eq!(
        from_open_metrics
            .iter()
            .filter(|sample| sample.exemplar.is_some())
            .count(),
        exemplars
    );
}

#[track_caller]
fn values(samples: &[ReadSample]) -> BTreeMap<(&str, &BTreeMap<String, String>), &str> {
    let series = samples
        .iter()
        .map(|sample| ((sample.name.as_str(), &sample.labels), sample.value.as_str()));
    let values: BTreeMap<_, _> = series.collect();
    assert_eq!(values.len(), samples.len(), "a series is there twice");
    values
}
