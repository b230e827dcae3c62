//! The page in the eyes of parsers that are not ours: promtool and the Python client.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "which Python to use is the test runner's choice"
)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use gatewayz_metrics::{
    Alias, Exemplar, Family, ForeignFamilies, ForeignFamily, ForeignSeries, ForeignValue, Format, Kind,
    Registry, RegistrySettings, Unit, process,
};

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

/// Reads both pages and compares what it saw.
const CHECK: &str = r#"
import math, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as text

def samples(parse, path):
    with open(path, encoding="utf-8", newline="") as page:
        families = list(parse(page.read()))
    found = [sample for family in families for sample in family.samples]
    exemplars = sum(1 for sample in found if sample.exemplar)
    values = {(s.name, tuple(sorted(s.labels.items()))): "NaN" if math.isnan(s.value) else s.value for s in found}
    assert len(values) == len(found), "a series is there twice"
    return values, exemplars

text_values, none = samples(text, sys.argv[1])
open_metrics_values, exemplars = samples(open_metrics, sys.argv[2])
assert text_values == open_metrics_values, set(text_values.items()) ^ set(open_metrics_values.items())
print(len(text_values), none, exemplars)
"#;

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

fn skipped(tool: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {tool}: not installed");
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    let [text, _] = pages();
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        return skipped("promtool");
    };

    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{}: {said}",
        output.status
    );
}

#[test]
fn the_python_client_reads_the_same_samples_from_both_pages() {
    let python = std::env::var_os("GATEWAYZ_PYTHON").unwrap_or_else(|| "python3".into());
    let probe = Command::new(&python)
        .args(["-c", "import prometheus_client"])
        .stderr(Stdio::null())
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        return skipped("prometheus_client");
    }
    let pages = pages();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let files = ["page.txt", "page.openmetrics"].map(|name| folder.join(name));
    for (file, page) in files.iter().zip(&pages) {
        std::fs::write(file, page).unwrap();
    }

    let output = Command::new(&python)
        .args(["-c", CHECK])
        .args(&files)
        .output()
        .unwrap();

    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let samples = pages[0].lines().filter(|line| !line.starts_with('#')).count();
    let exemplars = pages[1].matches(" # {trace_id=\"").count();
    assert!(exemplars > 10);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        format!("{samples} 0 {exemplars}")
    );
}
