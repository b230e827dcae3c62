//! Prometheus, Loki, Tempo and Grafana: what they answer, and when they know of a request.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::fake::{Reply, Request};
use crate::stack::{LOKI_LOGIN, Planted, Served, Shared};

/// In place of the 15 s of a real scrape.
const SCRAPE: Duration = Duration::from_millis(200);
/// In place of the 30 s that Tempo leaves out of a search.
const SEARCH_CUTOFF: Duration = Duration::from_millis(500);

pub(crate) fn prometheus(request: &Request, shared: &Shared) -> Reply {
    let scraped = scraped(shared);
    match request.path.as_str() {
        "/api/v1/status/buildinfo" => {
            let version = if shared.is(Planted::OldPrometheus) {
                "2.20.1"
            } else {
                "2.42.0+ds"
            };
            success(json!({ "version": version }))
        }
        "/api/v1/targets" => success(json!({ "activeTargets": targets(shared) })),
        "/api/v1/query" => instant_query(request.parameter("query"), &scraped, shared),
        "/api/v1/query_exemplars" if shared.is(Planted::NoExemplars) || !is_scraped(shared) => {
            success(json!([]))
        }
        "/api/v1/query_exemplars" => {
            // One bucket of the route that nobody else asks keeps its latest request.
            let latest = scraped.iter().rfind(|served| served.path == "/");
            let exemplars: Vec<Value> = latest
                .map(|served| json!({ "labels": { "trace_id": served.trace_id } }))
                .into_iter()
                .collect();
            success(json!([{ "seriesLabels": {}, "exemplars": exemplars }]))
        }
        _ => Reply::not_found(),
    }
}

pub(crate) fn loki(request: &Request, shared: &Shared) -> Reply {
    let login = format!("Basic {}", STANDARD.encode(LOKI_LOGIN));
    if shared.is(Planted::LokiWantsCredentials) && request.header("authorization") != login {
        return Reply::text(401, "no credentials provided");
    }
    match request.path.as_str() {
        "/loki/api/v1/status/buildinfo" => Reply::json(&json!({ "version": "3.7.6" })),
        "/loki/api/v1/query_range" => {
            let query = request.parameter("query");
            let served = shared.served();
            let found = served
                .iter()
                .rev()
                .filter(|served| line_matches(query, served, shared));
            let values: Vec<Value> = found
                .take(10)
                .map(|served| json!(["1", line(served, shared)]))
                .collect();
            let streams = if values.is_empty() {
                json!([])
            } else {
                json!([{ "stream": {}, "values": values }])
            };
            success(json!({ "resultType": "streams", "result": streams }))
        }
        // A log query is none for this endpoint.
        "/loki/api/v1/query" => Reply::text(400, "log queries are not supported as an instant query type"),
        _ => Reply::not_found(),
    }
}

pub(crate) fn tempo(request: &Request, shared: &Shared) -> Reply {
    if shared.is(Planted::TempoHangs) {
        return Reply {
            hangs: true,
            ..Reply::text(200, "")
        };
    }
    let served: Vec<Served> = if shared.is(Planted::SpansLost) {
        Vec::new()
    } else {
        shared.served()
    };
    if let Some(id) = request.path.strip_prefix("/api/traces/") {
        let Some(served) = served.iter().find(|served| served.trace_id == id) else {
            return Reply::text(404, "");
        };
        let mut span_id = u64::from_str_radix(&served.span_id, 16).unwrap();
        if shared.is(Planted::OtherSpanIds) {
            span_id ^= 1;
        }
        let span = json!({ "spanId": STANDARD.encode(span_id.to_be_bytes()), "name": "GET /" });
        return Reply::json(&json!({ "batches": [{ "scopeSpans": [{ "spans": [span] }] }] }));
    }
    match request.path.as_str() {
        "/api/status/buildinfo" => {
            let late = if shared.is(Planted::TempoClockBehind) {
                300
            } else {
                0
            };
            let date = SystemTime::now() - Duration::from_secs(late);
            Reply {
                date,
                ..Reply::json(&json!({ "version": "v3.0.3" }))
            }
        }
        "/api/search" if shared.is(Planted::SearchFindsNothing) => {
            Reply::json(&json!({ "traces": [], "metrics": {} }))
        }
        "/api/search" => {
            let query = request.parameter("q");
            let is_found = |served: &&Served| {
                served.at.elapsed() > SEARCH_CUTOFF
                    && !query.contains("duration >")
                    && (!query.contains("name = \"GET /health\"") || served.path == "/health")
            };
            let traces: Vec<Value> = served
                .iter()
                .filter(is_found)
                .take(5)
                .map(|served| json!({ "traceID": served.trace_id }))
                .collect();
            Reply::json(&json!({ "traces": traces, "metrics": {} }))
        }
        _ => Reply::not_found(),
    }
}

pub(crate) fn grafana(request: &Request, shared: &Shared) -> Reply {
    if shared.is(Planted::SomethingElseIsGrafana) {
        return Reply::text(200, "<html>It works!</html>");
    }
    if let Some(rest) = request.path.strip_prefix("/api/datasources/proxy/uid/") {
        let (uid, path) = rest.split_once('/').unwrap();
        let is_away = match uid {
            "loki" => shared.is(Planted::LokiDown) || shared.is(Planted::LokiSourceBroken),
            "tempo" => shared.is(Planted::TempoHangs),
            _ => false,
        };
        let known = [
            ("prometheus", "api/v1/query"),
            ("loki", "loki/api/v1/labels"),
            ("tempo", "api/echo"),
        ];
        return match is_away {
            true => Reply::text(502, r#"{"message":"bad gateway"}"#),
            false if known.contains(&(uid, path)) => Reply::text(200, "echo"),
            false => Reply::not_found(),
        };
    }
    match request.path.as_str() {
        "/api/health" => Reply::json(&json!({ "database": "ok", "version": "13.2.0" })),
        "/api/frontend/settings" => {
            let mut sources = json!({
                "Prometheus": { "type": "prometheus", "uid": "prometheus" },
                "Loki": { "type": "loki", "uid": "loki" },
                "Tempo": { "type": "tempo", "uid": "tempo" },
                "-- Grafana --": { "type": "datasource", "uid": "grafana" },
            });
            if shared.is(Planted::NoTempoSource) {
                sources.as_object_mut().unwrap().remove("Tempo");
            }
            Reply::json(&json!({ "datasources": sources }))
        }
        "/api/search" => Reply::json(&json!([
            { "uid": "other", "title": "FastAPI Dashboard of others" },
            { "uid": "fastapi", "title": "FastAPI Dashboard" },
        ])),
        "/api/dashboards/uid/fastapi" => Reply::json(&json!({ "dashboard": { "panels": panels(shared) } })),
        // Anonymous viewers may not list data sources.
        "/api/datasources" => Reply::text(403, r#"{"message":"You'll need additional permissions"}"#),
        _ => Reply::not_found(),
    }
}

fn panels(shared: &Shared) -> Value {
    let panel = |title: &str, uid: &str| json!({ "title": title, "datasource": { "uid": uid } });
    let titles = [
        "Total Requests",
        "Requests Per Minute",
        "Errors Per Second",
        "Average Response Time",
        "Request Duration P60",
        "CPU Usage",
        "Memory Usage",
    ];
    let shown = titles
        .iter()
        .filter(|title| **title != "Memory Usage" || !shared.is(Planted::PanelMissing));
    let mut panels: Vec<Value> = shown.map(|title| panel(title, "prometheus")).collect();
    panels.push(panel("Traces", "tempo"));
    panels.push(panel("Chosen", "${source}"));
    panels.push(json!({ "type": "row", "title": "Logs", "panels": [panel("Logger Stream", "loki")] }));
    panels.into()
}

/// What was served before the last scrape.
fn scraped(shared: &Shared) -> Vec<Served> {
    let served = shared.served();
    let Some(first) = served.first().map(|first| first.at) else {
        return Vec::new();
    };
    let scrapes = first.elapsed().as_millis() / SCRAPE.as_millis();
    let last = first + SCRAPE * u32::try_from(scrapes).unwrap();
    served.into_iter().filter(|served| served.at < last).collect()
}

fn is_scraped(shared: &Shared) -> bool {
    !shared.is(Planted::EmptyPrometheus) && !shared.is(Planted::TargetDown)
}

fn targets(shared: &Shared) -> Value {
    if shared.is(Planted::EmptyPrometheus) {
        return json!([]);
    }
    let is_down = shared.is(Planted::TargetDown);
    json!([
        { "labels": { "job": "other", "instance": "other:1" }, "health": "up", "scrapeInterval": "1m" },
        {
            "labels": { "job": "fastapi_backend", "instance": "fastapi_backend:8000" },
            "scrapeUrl": "http://fastapi_backend:8000/metrics",
            "health": if is_down { "down" } else { "up" },
            "lastError": if is_down { "data does not end with # EOF" } else { "" },
            "scrapeInterval": if shared.is(Planted::ScrapedEveryMinute) { "1m" } else { "15s" },
        },
    ])
}

fn instant_query(query: &str, scraped: &[Served], shared: &Shared) -> Reply {
    if query == "process_resident_memory_bytes" && shared.is(Planted::QueryRefused) {
        let told = json!({ "status": "error", "error": "parse error: unexpected end of input" });
        return Reply::text(400, told.to_string());
    }
    let count = if shared.is(Planted::CountersStandStill) {
        7
    } else {
        scraped.len()
    };
    let is_empty = !is_scraped(shared)
        || scraped.is_empty()
        || query.contains("fastapi_exceptions_total")
        || (query.contains("process_cpu") && shared.is(Planted::NoCpu))
        || (query.contains("model_inference") && shared.is(Planted::NoInference));
    let value = match query {
        query if query.starts_with("rate(sum") && shared.is(Planted::NanAverage) => "NaN".to_owned(),
        _ => count.to_string(),
    };
    let labels = json!({ "job": "fastapi_backend", "instance": "fastapi_backend:8000" });
    let series = if is_empty {
        json!([])
    } else {
        json!([{ "metric": labels, "value": [1.0, value] }])
    };
    success(json!({ "resultType": "vector", "result": series }))
}

fn line_matches(query: &str, served: &Served, shared: &Shared) -> bool {
    let parsed = |key: &str| {
        query
            .split_once(&format!("| json | {key}=\""))
            .and_then(|(_, rest)| rest.split('"').next())
    };
    let is_json = !shared.is(Planted::PrettyLines);
    !shared.is(Planted::LinesLost)
        && query.starts_with("{service=\"gatewayz-api\"}")
        && parsed("endpoint").is_none_or(|path| is_json && path == served.path)
        && parsed("trace_id").is_none_or(|id| is_json && id == served.trace_id)
}

fn line(served: &Served, shared: &Shared) -> String {
    if shared.is(Planted::PrettyLines) {
        return format!("12:00:00 INFO GET {} \"status_code\" 200", served.path);
    }
    let line = json!({
        "timestamp": "2026-01-01T00:00:00.000Z", "level": "INFO", "service": "gatewayz-api", "endpoint": served.path,
        "method": "GET", "status_code": 200, "duration_ms": 0.4, "trace_id": served.trace_id,
        "span_id": served.span_id, "message": "Request completed",
    });
    line.to_string()
}

#[expect(clippy::needless_pass_by_value, reason = "a literal at each call")]
fn success(data: Value) -> Reply {
    Reply::json(&json!({ "status": "success", "data": data }))
}
