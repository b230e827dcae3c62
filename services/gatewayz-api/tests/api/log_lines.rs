//! The log as its readers meet it: schema, formats, levels, and what happens when nobody reads it.

use gatewayz_testkit::otlp::Receiver;
use serde_json::Value;

use crate::harness::{Api, DEADLINE, PUBLISHED_KEY, spawn, wait_for};

/// The first keys of every line that has them, in this order.
const KEYS: [&str; 12] = [
    "timestamp",
    "level",
    "service",
    "endpoint",
    "method",
    "status_code",
    "duration_ms",
    "trace_id",
    "span_id",
    "message",
    "environment",
    "route",
];

/// The request line of the answer with this trace id.
#[track_caller]
fn line_of(api: &Api, trace_id: Option<&str>) -> Value {
    api.wait_for_line(|line| line["target"] == "gatewayz::request" && line["trace_id"].as_str() == trace_id)
}

/// Sends one request of each status class, and returns its method, endpoint, status and trace id.
#[track_caller]
fn one_request_of_each_level(api: &Api) -> Vec<(&'static str, String, u16, String)> {
    let long = format!("/{}", "\u{e9}a".repeat(1000).replace('\u{e9}', "%C3%A9"));
    let requests = [
        ("GET", "/api/users/7?token=secret", 200),
        ("HEAD", "/health", 200),
        ("POST", "/health", 405),
        ("GET", "/a%20path%22with\\quotes", 404),
        ("GET", &long, 404),
        ("POST", "/api/instrumentation/test-log", 503),
    ];
    let send = |(method, target, status)| {
        let answer = api.request(method, target, &[], b"");
        assert_eq!(answer.status, status, "{method} {target}");
        let endpoint = target.split('?').next().unwrap().chars().take(512).collect();
        (
            method,
            endpoint,
            status,
            answer.header("x-trace-id").unwrap().to_owned(),
        )
    };
    requests.map(send).into()
}

#[test]
fn every_line_is_one_json_object_with_its_keys_in_order() {
    let api = spawn(&[("ADMIN_API_KEY", PUBLISHED_KEY), ("LOG_LEVEL", "trace")]);
    api.make_one_request_of_each_kind();

    let lines = wait_for(DEADLINE, || {
        let lines = api.lines();
        let of_requests = lines.iter().filter(|line| line["target"] == "gatewayz::request");
        (of_requests.count() == 10).then_some(lines)
    })
    .unwrap();

    assert!(lines.len() > 15, "{lines:?}");
    for line in &lines {
        let keys: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
        let expected: Vec<&str> = KEYS
            .into_iter()
            .chain(["target"])
            .filter(|key| keys.contains(key))
            .collect();
        assert_eq!(keys[..expected.len()], expected);
        assert_eq!(
            (&line["service"], &line["environment"]),
            (&"gatewayz-api".into(), &"local".into())
        );
        let timestamp = line["timestamp"].as_str().unwrap();
        assert!(
            timestamp.len() == "2026-11-22T08:00:00.000Z".len() && timestamp.ends_with('Z'),
            "{timestamp}"
        );
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        assert!(["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&text("level").as_str()));
        assert!(!text("message").is_empty() && !text("target").is_empty());
        assert_eq!(line.get("trace_id").is_some(), line.get("span_id").is_some());
        if text("target") == "gatewayz::request" {
            assert!(KEYS[..11].iter().all(|key| keys.contains(key)), "{line}");
        }
    }
    assert!(api.service.stdout().iter().all(|line| line.len() < 16 * 1024));
}

#[test]
fn a_request_line_tells_what_the_client_saw() {
    let api = spawn(&[]);

    for (method, endpoint, status, trace_id) in one_request_of_each_level(&api) {
        let line = line_of(&api, Some(&trace_id));
        let level = match status {
            500.. => "ERROR",
            400.. => "WARN",
            _ => "INFO",
        };
        assert_eq!(line["level"], level, "{line}");
        assert_eq!(line["method"], method);
        assert_eq!(line["endpoint"], *endpoint);
        assert_eq!(line["status_code"], status);
        assert!(
            line["duration_ms"].is_f64() && line["duration_ms"].as_f64().unwrap() > 0.0,
            "{line}"
        );
        assert_eq!(line["span_id"].as_str().unwrap().len(), 16);
        assert_eq!(line.get("route").is_some(), status != 404, "{line}");
    }
    assert_eq!(
        api.wait_for_line(|line| line["endpoint"] == "/api/users/7")["route"],
        "/api/users/{id}"
    );
    for line in api
        .service
        .stdout()
        .iter()
        .filter(|line| line.contains("duration_ms"))
    {
        let (_, number) = line.split_once("\"duration_ms\":").unwrap();
        assert!(number.split(',').next().unwrap().contains('.'), "{line}");
    }
}

#[test]
fn a_bunyan_line_stands_for_each_request() {
    let api = spawn(&[("LOG_FORMAT", "bunyan")]);

    let requests = one_request_of_each_level(&api);

    for (method, endpoint, status, trace_id) in &requests {
        let line =
            api.wait_for_line(|line| line["trace_id"] == **trace_id && line.get("status_code").is_some());
        let level = match status {
            500.. => 50,
            400.. => 40,
            _ => 30,
        };
        assert_eq!((&line["v"], &line["level"]), (&0.into(), &level.into()), "{line}");
        assert_eq!(line["name"], "gatewayz-api");
        assert!(line["msg"].is_string() && line["hostname"].is_string() && line["pid"] == api.service.id());
        assert!(line["time"].as_str().unwrap().ends_with('Z'));
        assert_eq!(
            (&line["method"], &line["status_code"]),
            (&(*method).into(), &(*status).into())
        );
        assert!(line["duration_ms"].is_f64());
        assert!(
            line["endpoint"].as_str().unwrap().chars().count() <= 512,
            "{line}"
        );
        assert_eq!(line["endpoint"], **endpoint);
    }
    let lines = api.lines();
    let of_requests = lines.iter().filter(|line| line.get("status_code").is_some());
    assert_eq!(of_requests.count(), requests.len());
}

#[test]
fn a_pretty_line_stands_for_each_request_and_is_printable() {
    let api = spawn(&[("LOG_FORMAT", "pretty")]);
    let requests = one_request_of_each_level(&api);
    let injected = api.get("/%1b%5b31m%0d%0a%e2%80%ae");
    let injected = injected.header("x-trace-id").unwrap();

    for (method, _, status, trace_id) in &requests {
        let shows = |line: &str, text: &str| line.contains(text);
        let of_request = |line: &str| shows(line, trace_id) && shows(line, &format!(" {method} /"));
        let line = api.service.wait_for_stdout(DEADLINE, of_request).unwrap();
        assert!(
            line.contains(&format!(" {status} ")) && line.contains(" ms "),
            "{line}"
        );
        assert!(line.len() < 1024, "{} bytes", line.len());
    }
    api.service
        .wait_for_stdout(DEADLINE, |line| line.contains(injected))
        .unwrap();

    let lines = api.service.stdout();
    assert!(
        lines
            .iter()
            .all(|line| !line.contains(|symbol: char| symbol.is_control() || symbol == '\u{202e}'))
    );
    assert_eq!(
        lines.iter().filter(|line| line.contains(" ms trace_id=")).count(),
        requests.len() + 1
    );
}

#[test]
fn a_higher_level_hides_lines_and_neither_metrics_nor_spans() {
    let receiver = Receiver::start();
    let endpoint = receiver.grpc_endpoint();
    let api = spawn(&[("LOG_LEVEL", "warn"), ("TEMPO_OTLP_GRPC_ENDPOINT", &endpoint)]);

    let hidden = api.get("/api/users/1");
    let shown = api.get("/nothing");
    let line = line_of(&api, shown.header("x-trace-id"));

    assert_eq!(line["level"], "WARN");
    receiver.wait_for(2, DEADLINE).unwrap();
    let of_hidden = receiver.spans_named("GET /api/users/{id}");
    assert_eq!(of_hidden.len(), 1);
    assert_eq!(
        Some(of_hidden[0].trace_id_hex().as_str()),
        hidden.header("x-trace-id")
    );
    api.wait_for_requests(2.0);
    let lines = api.lines();
    assert!(!lines.iter().any(|line| line["level"] == "INFO"), "{lines:?}");
}
