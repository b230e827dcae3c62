//! The metrics page of the running service, in the eyes of parsers that are not ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use gatewayz_testkit::parsers::{PageFormat, ParserError, ReadSample, promtool, python_client};
use gatewayz_testkit::skip;
use serde_json::Value;

use crate::harness::{Api, DEADLINE, PUBLISHED_KEY, repository, spawn, wait_for};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A service with a sample of every kind that ordinary traffic leaves.
#[track_caller]
fn used_api() -> Api {
    let api = spawn(&[("ADMIN_API_KEY", PUBLISHED_KEY)]);
    api.make_one_request_of_each_kind();
    api
}

#[track_caller]
fn page(api: &Api, accept: &str) -> String {
    let answer = api.request("GET", "/metrics", &[("Accept", accept)], b"");
    assert_eq!(answer.status, 200);
    answer.text()
}

/// Samples of the request metrics: they stand still while nobody calls.
#[track_caller]
fn request_samples(samples: &[ReadSample]) -> BTreeMap<(&str, &BTreeMap<String, String>), &str> {
    let requests = samples
        .iter()
        .filter(|sample| sample.name.starts_with("fastapi_"));
    let series = requests.map(|sample| ((sample.name.as_str(), &sample.labels), sample.value.as_str()));
    let found: Vec<_> = series.collect();
    let samples: BTreeMap<_, _> = found.iter().copied().collect();
    assert_eq!(samples.len(), found.len(), "a series is there twice");
    samples
}

/// Name and type of every family on a page of Prometheus text.
fn families(page: &str) -> BTreeSet<(&str, &str)> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|rest| rest.split_once(' ').unwrap()).collect()
}

#[test]
fn promtool_accepts_the_page_of_a_used_service() {
    let api = used_api();

    let accepted = promtool(&page(&api, "text/plain"));

    if let Err(ParserError::Missing(reason)) = &accepted {
        return skip("promtool_accepts_the_page_of_a_used_service", reason);
    }
    accepted.unwrap();
}

#[test]
fn a_strict_parser_reads_the_same_request_samples_from_both_formats() {
    let api = used_api();

    let text = python_client(PageFormat::Text, &page(&api, "text/plain"));
    let open_metrics = python_client(
        PageFormat::OpenMetrics,
        &page(&api, "application/openmetrics-text"),
    );

    if let Err(ParserError::Missing(reason)) = &text {
        return skip(
            "a_strict_parser_reads_the_same_request_samples_from_both_formats",
            reason,
        );
    }
    let (text, open_metrics) = (text.unwrap(), open_metrics.unwrap());
    assert!(request_samples(&text).len() > 100);
    assert_eq!(request_samples(&text), request_samples(&open_metrics));
    assert!(text.iter().all(|sample| sample.exemplar.is_none()));
    assert!(open_metrics.iter().any(|sample| sample.exemplar.is_some()));
}

#[test]
fn the_trace_of_every_exemplar_is_in_the_log() {
    let api = used_api();

    let text = page(&api, "text/plain");
    let open_metrics = page(&api, "application/openmetrics-text");

    assert!(!text.contains("trace_id"));
    let exemplars = open_metrics.split("# {trace_id=\"").skip(1);
    let ids: BTreeSet<(&str, &str)> = exemplars.map(|rest| (&rest[..32], &rest[43..59])).collect();
    assert!(ids.len() >= 8, "{ids:?}");
    let logged = wait_for(DEADLINE, || {
        let lines = api.lines();
        let requests = lines.iter().filter(|line| line["status_code"].is_number());
        let logged = requests.map(|line| {
            (
                line["trace_id"].as_str().unwrap(),
                line["span_id"].as_str().unwrap(),
            )
        });
        ids.is_subset(&logged.collect()).then_some(())
    });
    assert!(logged.is_some(), "{ids:?} are not all in {:#?}", api.lines());
}

#[test]
fn the_accept_header_chooses_the_format() {
    let api = spawn(&[]);
    let cases = [
        (None, TEXT),
        (Some("*/*"), TEXT),
        (Some("text/plain"), TEXT),
        (
            Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            TEXT,
        ),
        (Some("application/openmetrics-text;q=0"), TEXT),
        (Some("application/openmetrics-text;q=0.3,text/plain;q=0.5"), TEXT),
        (Some("application/json"), TEXT),
        (Some(";;q=,,é"), TEXT),
        (Some("application/openmetrics-text"), OPEN_METRICS),
        (
            Some("application/openmetrics-text; version=1.0.0; charset=utf-8"),
            OPEN_METRICS,
        ),
        // Prometheus 2.42.
        (
            Some(
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            ),
            OPEN_METRICS,
        ),
    ];

    for (accept, content_type) in cases {
        let headers: Vec<(&str, &str)> = accept.map(|accept| ("Accept", accept)).into_iter().collect();
        let answer = api.request("GET", "/metrics", &headers, b"");

        assert_eq!(answer.status, 200, "{accept:?}");
        assert_eq!(answer.header("content-type"), Some(content_type), "{accept:?}");
        assert_eq!(
            answer.text().ends_with("# EOF\n"),
            content_type == OPEN_METRICS,
            "{accept:?}"
        );
    }
}

#[test]
fn the_summary_lists_exactly_the_families_of_the_page() {
    let api = used_api();

    let summary: Value = serde_json::from_slice(&api.get("/api/metrics/summary").body).unwrap();
    let page = page(&api, "text/plain");

    let listed = summary["metrics"].as_array().unwrap();
    let member = |metric: &Value, key: &str| metric[key].as_str().unwrap().to_owned();
    let names = listed
        .iter()
        .map(|metric| (member(metric, "name"), member(metric, "type")));
    let names: BTreeSet<(String, String)> = names.collect();
    let on_page = families(&page)
        .into_iter()
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()));
    assert_eq!(names, on_page.collect());
    assert_eq!(summary["registered_metrics"], listed.len());
}

#[test]
fn every_family_of_the_page_is_documented() {
    let Ok(document) = fs::read_to_string(repository().join("docs/METRICS.md")) else {
        return skip(
            "every_family_of_the_page_is_documented",
            "docs/METRICS.md is not generated",
        );
    };
    let api = used_api();

    let page = page(&api, "text/plain");

    let missing: Vec<&str> = families(&page)
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !document.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_token_closes_the_page_and_nothing_else() {
    let token = "a-token-for-the-scraper";
    let api = spawn(&[("METRICS_TOKEN", token)]);
    let right = format!("Bearer {token}");
    let cases = [
        (None, 401),
        (Some("Bearer another-token"), 401),
        (Some("Basic YTpi"), 401),
        (Some(right.as_str()), 200),
    ];

    for (authorization, status) in cases {
        let headers: Vec<(&str, &str)> = authorization
            .map(|value| ("Authorization", value))
            .into_iter()
            .collect();
        let answer = api.request("GET", "/metrics", &headers, b"");

        assert_eq!(answer.status, status, "{authorization:?}");
        assert_eq!(
            answer.header("www-authenticate").is_some(),
            status == 401,
            "{authorization:?}"
        );
        assert_eq!(
            answer.text().contains("fastapi_app_info"),
            status == 200,
            "{authorization:?}"
        );
    }
    assert_eq!(api.get("/health").status, 200);
    assert_eq!(api.get("/api/metrics/summary").status, 200);
}
