//! Ten thousand requests of every kind through a real server, counted by the clients and then found again in the
//! metrics, the log and the received spans, joined one to one by trace id.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod app;
mod clients;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gatewayz_metrics::Format;
use gatewayz_telemetry::{ExportSettings, Telemetry, TelemetrySettings};
use gatewayz_testkit::otlp::{ReceivedSpan, Receiver, SpanKind};
use gatewayz_testkit::scrape::Samples;
use gatewayz_tracing::otlp::Protocol;

use self::clients::{CONCURRENCY, REMOTE_TRACES, ROUNDS, Seen};
use crate::serving::{Lines, parse, serve};

/// Method, route template and status.
type Key = (String, String, u16);

pub(crate) fn check(protocol: Protocol) {
    let receiver = Receiver::start();
    let lines = Lines::new();
    let telemetry = Telemetry::start(settings(protocol, &receiver, &lines)).unwrap();
    let server = serve(&telemetry, app::configure);

    let seen = clients::run(server.address);
    server.stop();
    let report = telemetry.shutdown(Instant::now() + Duration::from_secs(30));

    let samples = scrape(&telemetry);
    let log = parse(&lines.read());
    let spans: Vec<ReceivedSpan> = receiver
        .spans()
        .into_iter()
        .filter(|span| span.kind == SpanKind::Server)
        .collect();
    assert_eq!(report.undelivered(), 0, "{report:?}");
    agree(&seen, &samples, &log, &spans);
    assert_eq!(samples.sum("fastapi_requests_in_progress", &[]), 0.0);
    assert_conserved(&samples, seen.len());
    assert_parents(&spans);
    assert_exceptions(&samples, &log);
}

fn settings(protocol: Protocol, receiver: &Receiver, lines: &Lines) -> TelemetrySettings {
    let endpoint = match protocol {
        Protocol::Grpc => receiver.grpc_endpoint(),
        Protocol::HttpProtobuf => format!("{}/v1/traces", receiver.http_endpoint()),
    };
    let mut export = ExportSettings::new(protocol, endpoint.parse().unwrap());
    export.otlp.gzip = true;
    export.queue.linger = Duration::from_millis(50);
    let mut settings = lines.settings("agree-api");
    settings.traces.export = Some(export);
    settings.traces.resource = vec![("team".into(), "platform".into())];
    settings.traces.incoming_sampled_per_second = u32::MAX;
    settings
}

fn scrape(telemetry: &Telemetry) -> Samples {
    let mut page = Vec::new();
    telemetry.registry().render(Format::Text, &mut page);
    Samples::parse(&String::from_utf8(page).unwrap()).unwrap()
}

/// Compares the four by (method, route, status) and prints the table, then joins them by trace id.
fn agree(seen: &[Seen], samples: &Samples, log: &[serde_json::Value], spans: &[ReceivedSpan]) {
    let requests: Vec<&serde_json::Value> = log
        .iter()
        .filter(|line| line["target"] == "gatewayz::request")
        .collect();
    let line_key = |line: &serde_json::Value| -> Key {
        let text = |key: &str| line[key].as_str().unwrap_or("unmatched").to_owned();
        (
            text("method"),
            text("route"),
            u16::try_from(line["status_code"].as_u64().unwrap()).unwrap(),
        )
    };
    let span_key = |span: &ReceivedSpan| -> Key {
        let status = u16::try_from(span.int("http.response.status_code").unwrap()).unwrap();
        let route = span.string("http.route").unwrap_or("unmatched");
        (
            span.string("http.request.method").unwrap().to_owned(),
            route.to_owned(),
            status,
        )
    };
    let count = |keys: Vec<Key>| {
        let mut counts: BTreeMap<Key, u64> = BTreeMap::new();
        for key in keys {
            *counts.entry(key).or_default() += 1;
        }
        counts
    };
    let sent = count(seen.iter().map(|seen| seen.key.clone()).collect());
    let logged = count(requests.iter().map(|line| line_key(line)).collect());
    let traced = count(spans.iter().map(span_key).collect());

    eprintln!(
        "{:7} {:28} {:>6} {:>7} {:>7} {:>9} {:>7} {:>7}",
        "method", "route", "status", "sent", "counter", "histogram", "lines", "spans"
    );
    for ((method, route, status), sent) in &sent {
        let labels = [
            ("method", method.as_str()),
            ("path", route.as_str()),
            ("status_code", &status.to_string()),
        ];
        let counter = samples.value("fastapi_requests_total", &labels).unwrap_or(0.0) as u64;
        let histogram = samples
            .value("fastapi_requests_duration_seconds_count", &labels)
            .unwrap_or(0.0) as u64;
        let key = (method.clone(), route.clone(), *status);
        let (lines, spans) = (
            logged.get(&key).copied().unwrap_or(0),
            traced.get(&key).copied().unwrap_or(0),
        );
        eprintln!(
            "{method:7} {route:28} {status:>6} {sent:>7} {counter:>7} {histogram:>9} {lines:>7} {spans:>7}"
        );
        assert_eq!([*sent; 4], [counter, histogram, lines, spans], "{key:?}");
    }
    assert_eq!(samples.sum("fastapi_requests_total", &[]) as usize, seen.len());
    assert_eq!(sent, logged);
    assert_eq!(sent, traced);
    assert!(seen.len() >= 10_000, "{}", seen.len());

    let joined = |pairs: Vec<(String, Key)>| {
        let mut pairs = pairs;
        pairs.sort();
        pairs
    };
    let sent = joined(
        seen.iter()
            .map(|seen| (seen.trace_id.clone(), seen.key.clone()))
            .collect(),
    );
    let logged = joined(
        requests
            .iter()
            .map(|line| (line["trace_id"].as_str().unwrap().to_owned(), line_key(line)))
            .collect(),
    );
    let traced = joined(
        spans
            .iter()
            .map(|span| (span.trace_id_hex(), span_key(span)))
            .collect(),
    );
    assert_eq!(sent, logged, "the lines' trace ids");
    assert_eq!(sent, traced, "the spans' trace ids");
    let ids = |pairs: Vec<(String, String)>| {
        joined(
            pairs
                .into_iter()
                .map(|(trace, span)| (trace, (span, String::new(), 0)))
                .collect(),
        )
    };
    let text = |line: &serde_json::Value, key: &str| line[key].as_str().unwrap().to_owned();
    assert_eq!(
        ids(requests
            .iter()
            .map(|line| (text(line, "trace_id"), text(line, "span_id")))
            .collect()),
        ids(spans
            .iter()
            .map(|span| (span.trace_id_hex(), span.span_id_hex()))
            .collect()),
        "the lines' span ids are the spans'"
    );
}

fn assert_conserved(samples: &Samples, requests: usize) {
    let otlp = [("exporter", "otlp")];
    let stdout = [("exporter", "stdout")];
    let sum = |name: &str, labels: &[(&str, &str)]| samples.sum(name, labels) as u64;
    let lost = |kind: &str, labels: &[(&str, &str)]| {
        sum(&format!("telemetry_exporter_send_failed_{kind}_total"), labels)
            + sum(&format!("telemetry_exporter_enqueue_failed_{kind}_total"), labels)
    };
    assert_eq!(lost("spans", &otlp), 0);
    assert_eq!(lost("log_records", &stdout), 0);
    assert!(sum("telemetry_exporter_sent_spans_total", &otlp) >= requests as u64);
    assert_eq!(
        sum("telemetry_exporter_sent_log_records_total", &stdout),
        sum("telemetry_log_records_total", &[])
    );
    assert_eq!(sum("telemetry_exporter_queue_size", &[]), 0);
    assert_eq!(sum("telemetry_exporter_queue_size_bytes", &[]), 0);
}

fn assert_parents(spans: &[ReceivedSpan]) {
    let continued = spans.iter().filter(|span| span.parent_span_id.is_some()).count();
    assert_eq!(continued, CONCURRENCY * ROUNDS * REMOTE_TRACES);
    for span in spans {
        let failed = span.int("http.response.status_code").unwrap() >= 500;
        assert_eq!(span.string("error.type").is_some(), failed, "{span:?}");
        assert_eq!(span.resource_string("service.name"), Some("agree-api"));
        assert_eq!(span.resource_string("team"), Some("platform"));
        assert!(span.end_unix_nanos >= span.start_unix_nanos);
    }
}

fn assert_exceptions(samples: &Samples, log: &[serde_json::Value]) {
    let each = (CONCURRENCY * ROUNDS) as f64;
    let counted = |kind| samples.sum("fastapi_exceptions_total", &[("exception_type", kind)]);
    let told = |kind, text: &str| {
        let is_told = |line: &&serde_json::Value| {
            line["target"] == "gatewayz::request"
                && line["exception_type"] == kind
                && line["exception_message"].as_str().unwrap().contains(text)
        };
        log.iter().filter(is_told).count() as f64
    };
    // In the handler, in a guard, in an error's answer and in the body.
    assert_eq!(counted("panic"), 4.0 * each);
    assert_eq!(told("panic", "app.rs:"), 4.0 * each);
    // By a handler, by a middleware and by two errors that cannot be told whole.
    assert_eq!(counted("error"), 4.0 * each);
    assert_eq!(told("error", "it broke"), each);
    assert_eq!(told("error", "later"), each);
    assert_eq!(told("error", "in an error's text at "), each);
    assert_eq!(told("error", "and on and on"), each);
    let asked = log.iter().filter(|line| line["message"] == "Asked for its text");
    assert!(asked.clone().all(|line| line["route"] == "/text-without-end"));
    assert_eq!(asked.count() as f64, each);

    assert_eq!(samples.value("panics_total", &[]), Some(6.0 * each));
    let caught = log.iter().filter(|line| line["target"] == "gatewayz::panic");
    assert!(caught.clone().all(|line| {
        line["message"]
            .as_str()
            .unwrap()
            .starts_with("Panic: and caught at ")
            && line["route"] == "/caught"
    }));
    assert_eq!(caught.count() as f64, each);
}
