//! Metric names in documents, rules and dashboards exist in the generated catalog.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::Tree;

const CATALOG: &str = "docs/METRICS.md";
const PREFIXES: [&str; 11] = [
    "admin_",
    "cache_",
    "credits_",
    "fastapi_",
    "gatewayz_",
    "model_inference_",
    "panics_",
    "process_",
    "provider_",
    "telemetry_",
    "tokens_",
];
/// What the name of a metric ends with; other words with such a prefix are settings and packages.
const UNITS: [&str; 8] = [
    "_total",
    "_seconds",
    "_bytes",
    "_info",
    "_ratio",
    "_in_progress",
    "_celsius",
    "_threads",
];
/// What an exposition appends to the name of a histogram.
const SERIES: [&str; 3] = ["_bucket", "_sum", "_count"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let catalog: BTreeSet<&str> = tree
        .text(CATALOG)
        .map(|text| words(text).collect())
        .unwrap_or_default();
    let mut findings = Vec::new();
    for (path, text) in tree.texts().filter(|(path, _)| is_read(path)) {
        for (line_number, line) in (1..).zip(text.lines()) {
            for name in words(line).filter(|word| is_metric(word)) {
                if !catalog.contains(name) && !catalog.contains(family(name)) {
                    let message = format!(
                        "{name} is not in {CATALOG}; correct the name, or declare the metric and run `cargo xtask codegen`"
                    );
                    findings.push(Finding::new(path, line_number, message));
                }
            }
        }
    }
    findings
}

fn is_read(path: &str) -> bool {
    let is_document = path.starts_with("docs/") && path.ends_with(".md");
    path != CATALOG && (is_document || path.starts_with("deploy/") || path == "README.md")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    // A colon belongs to the name of a recording rule, which is no metric of ours.
    text.split(|symbol: char| !(symbol.is_ascii_alphanumeric() || matches!(symbol, '_' | ':')))
        .filter(|word| !word.is_empty())
}

fn is_metric(word: &str) -> bool {
    let has_prefix = PREFIXES.iter().any(|prefix| word.starts_with(prefix));
    let is_plain = word
        .chars()
        .all(|symbol| symbol.is_ascii_lowercase() || symbol.is_ascii_digit() || symbol == '_');
    has_prefix && is_plain && UNITS.iter().any(|unit| family(word).ends_with(unit))
}

fn family(name: &str) -> &str {
    SERIES
        .iter()
        .find_map(|series| name.strip_suffix(series))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    #[track_caller]
    fn finds(path: &str, text: &str, expected: &[&str]) {
        let catalog =
            "| `fastapi_requests_total` | `fastapi_requests_duration_seconds` | `telemetry_queue_bytes` |\n";
        let tree = Tree::of(&[("docs/METRICS.md", catalog), (path, text)]);

        let lines: Vec<_> = check(&tree).iter().map(ToString::to_string).collect();

        assert_eq!(lines.len(), expected.len(), "{lines:?}");
        for (line, start) in lines.iter().zip(expected) {
            assert!(line.starts_with(start), "{line}");
        }
    }

    #[test]
    fn a_metric_of_the_catalog_and_its_series_are_known() {
        let query = "sum(rate(fastapi_requests_duration_seconds_bucket{app_name=\"x\"}[5m])) / fastapi_requests_total";
        finds("deploy/prometheus/rules.yml", query, &[]);
    }

    #[test]
    fn a_metric_that_nobody_records_is_refused() {
        finds(
            "docs/OPERATIONS.md",
            "\nfastapi_request_total\n",
            &["docs/OPERATIONS.md:2: fastapi_request_total is not in"],
        );
    }

    #[test]
    fn settings_packages_and_recording_rules_are_no_metrics() {
        finds(
            "README.md",
            "gatewayz_api TELEMETRY_QUEUE_BYTES job:fastapi_requests_total:rate5m fastapi_.*",
            &[],
        );
    }
}
