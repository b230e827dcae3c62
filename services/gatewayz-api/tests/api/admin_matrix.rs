//! Who may call what: every route with every kind of key.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use gatewayz_testkit::http::Answer;
use gatewayz_testkit::otlp::{self, Receiver};
use serde_json::{Value, json};

use crate::harness::{Api, DEADLINE, PUBLISHED_KEY, spawn, wait_for};

/// Strong enough for every environment.
const KEY: &str = "q7Zx-Wm3vT9kRb2LdN5sYh";
const WRONG_KEY: &str = "u8Hy-Ck6pJ1fXe4MgB0aQz";
const CHALLENGE: &str = r#"Bearer realm="gatewayz-admin""#;

/// Method, path, body and `Allow` of every route that takes an admin key everywhere.
const ADMIN_ROUTES: [(&str, &str, &[u8], &str); 9] = [
    ("GET", "/api/instrumentation/loki/status", b"", "GET, HEAD"),
    ("GET", "/api/instrumentation/tempo/status", b"", "GET, HEAD"),
    ("GET", "/api/instrumentation/config", b"", "GET, HEAD"),
    (
        "GET",
        "/api/instrumentation/environment-variables",
        b"",
        "GET, HEAD",
    ),
    ("POST", "/api/instrumentation/test-trace", b"", "POST"),
    ("POST", "/api/instrumentation/test-log", b"", "POST"),
    (
        "GET",
        "/api/instrumentation/log-level",
        b"",
        "GET, HEAD, PUT, DELETE",
    ),
    (
        "PUT",
        "/api/instrumentation/log-level",
        br#"{"levels":"info"}"#,
        "GET, HEAD, PUT, DELETE",
    ),
    (
        "DELETE",
        "/api/instrumentation/log-level",
        b"",
        "GET, HEAD, PUT, DELETE",
    ),
];

/// Checks that the answer is an RFC 9457 problem of its own request, and returns it.
#[track_caller]
pub(crate) fn assert_problem(answer: &Answer, status: u16) -> Value {
    let text = answer.text();
    assert_eq!(answer.status, status, "{text}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{text}"
    );
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(problem["status"], status);
    assert!(problem["type"].is_string() && problem["title"].is_string() && problem["detail"].is_string());
    let trace_id = problem["trace_id"].as_str().unwrap();
    assert!(
        trace_id.len() == 32 && trace_id.bytes().all(|digit| digit.is_ascii_hexdigit()),
        "{trace_id}"
    );
    assert_eq!(answer.header("x-trace-id"), Some(trace_id));
    problem
}

#[track_caller]
fn assert_unauthorized(answer: &Answer, challenge: &str) {
    assert_problem(answer, 401);
    assert_eq!(answer.header("www-authenticate"), Some(challenge));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[track_caller]
fn call(api: &Api, method: &str, path: &str, authorization: &[&str], body: &[u8]) -> Answer {
    let mut headers: Vec<_> = authorization
        .iter()
        .map(|value| ("Authorization", *value))
        .collect();
    headers.push(("Content-Type", "application/json"));
    api.request(method, path, &headers, body)
}

#[track_caller]
fn as_admin(api: &Api, method: &str, path: &str, body: &[u8]) -> Answer {
    call(api, method, path, &[&format!("Bearer {KEY}")], body)
}

#[track_caller]
fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    serde_json::from_slice(&answer.body).unwrap()
}

#[track_caller]
fn errors_at_start(api: &Api) -> Vec<Value> {
    // The start's lines are written before the first request's.
    assert_eq!(api.get("/health").status, 200);
    api.wait_for_line(|line| line["endpoint"] == "/health");
    api.lines()
        .into_iter()
        .filter(|line| line["level"] == "ERROR")
        .collect()
}

#[test]
fn the_openapi_document_names_these_admin_routes_and_no_other() {
    let api = spawn(&[("ADMIN_API_KEY", KEY)]);

    let document: Value = serde_json::from_slice(&api.get("/openapi.json").body).unwrap();

    let (mut closed, mut optional) = (BTreeSet::new(), BTreeSet::new());
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let route = (method.to_uppercase(), path.clone());
            if operation["security"] == json!([{ "adminKey": [] }]) {
                closed.insert(route);
            } else if operation["security"] == json!([{}, { "adminKey": [] }]) {
                optional.insert(route);
            }
        }
    }
    let routes = |routes: &[(&str, &str)]| -> BTreeSet<_> {
        routes
            .iter()
            .map(|(method, path)| ((*method).to_owned(), (*path).to_owned()))
            .collect()
    };
    assert_eq!(
        closed,
        routes(&ADMIN_ROUTES.map(|(method, path, _, _)| (method, path)))
    );
    assert_eq!(
        optional,
        routes(&[
            ("POST", "/api/metrics/test"),
            ("GET", "/api/instrumentation/health")
        ])
    );
}

#[test]
fn only_the_right_key_in_the_right_form_opens_an_admin_route() {
    let api = spawn(&[("ADMIN_API_KEY", KEY)]);
    let invalid = format!(r#"{CHALLENGE}, error="invalid_token""#);
    let right = format!("Bearer {KEY}");
    let malformed: [&[&str]; 9] = [
        &[""],
        &["Bearer"],
        &[KEY],
        &["Basic cTdaeDpXbTN2"],
        &[&format!("Token {KEY}")],
        &[&format!("Bearer{KEY}")],
        &[&format!("Bearer\t{KEY}")],
        &[&format!("Bearer {KEY} {KEY}")],
        &[&right, &right],
    ];

    for (method, path, body, _) in ADMIN_ROUTES {
        assert_unauthorized(&call(&api, method, path, &[], body), CHALLENGE);
        assert_unauthorized(
            &call(&api, method, path, &[&format!("Bearer {WRONG_KEY}")], body),
            &invalid,
        );
        for authorization in malformed {
            assert_unauthorized(&call(&api, method, path, authorization, body), &invalid);
        }
        let in_query = format!("{path}?access_token={KEY}");
        assert_unauthorized(&call(&api, method, &in_query, &[], body), &invalid);
        assert_unauthorized(&call(&api, method, &in_query, &[&right], body), &invalid);

        for authorization in [&right, &format!("bearer {KEY}"), &format!("BEARER   {KEY}")] {
            // The tests of delivery are limited to ten a minute.
            if method != "POST" || authorization == &right {
                json_of(&call(&api, method, path, &[authorization], body));
            }
        }
    }
    assert_eq!(
        call(&api, "HEAD", "/api/instrumentation/config", &[], b"").status,
        401
    );
    assert_eq!(
        as_admin(&api, "HEAD", "/api/instrumentation/config", b"").status,
        200
    );
}

#[test]
fn everything_under_the_admin_prefix_is_closed_also_what_does_not_exist() {
    let api = spawn(&[("ADMIN_API_KEY", KEY)]);
    let disguised = [
        "/api/instrumentation/",
        "/api/instrumentation/nothing",
        "/api/instrumentation/config/",
        "/api/%69nstrumentation/config",
        "/api/instrumentation/%63onfig",
        "http://other.example/api/instrumentation/config",
    ];

    for path in disguised {
        assert_unauthorized(&api.get(path), CHALLENGE);
    }
    for (method, path, _, allow) in ADMIN_ROUTES {
        let wrong = if path.ends_with("log-level") || method == "GET" {
            "POST"
        } else {
            "GET"
        };
        assert_unauthorized(&call(&api, wrong, path, &[], b""), CHALLENGE);
        let answer = as_admin(&api, wrong, path, b"");
        assert_problem(&answer, 405);
        assert_eq!(answer.header("allow"), Some(allow), "{path}");
    }
    assert_problem(&as_admin(&api, "GET", "/api/instrumentation/nothing", b""), 404);
}

#[test]
fn without_a_usable_key_admin_routes_answer_503_and_the_service_serves() {
    let cases = [
        ("local", None),
        ("staging", None),
        ("production", None),
        ("staging", Some(PUBLISHED_KEY)),
        ("production", Some(PUBLISHED_KEY)),
    ];
    let published = format!("Bearer {PUBLISHED_KEY}");
    let published = published.as_str();
    for (environment, key) in cases {
        let mut variables = vec![("ENVIRONMENT", environment)];
        variables.extend(key.map(|key| ("ADMIN_API_KEY", key)));

        let api = spawn(&variables);

        let nothing = ("GET", "/api/instrumentation/nothing", &b""[..], "");
        let self_test = ("POST", "/api/metrics/test", &b""[..], "");
        let more = [nothing, self_test]
            .into_iter()
            .take(if environment == "local" { 1 } else { 2 });
        for (method, path, body, _) in ADMIN_ROUTES.into_iter().chain(more) {
            for authorization in [&[][..], &[published], &["Bearer"]] {
                let answer = call(&api, method, path, authorization, body);
                let problem = assert_problem(&answer, 503);
                assert!(problem["detail"].as_str().unwrap().contains("key"), "{problem}");
                assert_eq!(answer.header("www-authenticate"), None);
                assert_eq!(answer.header("cache-control"), Some("no-store"));
            }
        }
        for path in [
            "/",
            "/ready",
            "/metrics",
            "/api/metrics/summary",
            "/api/instrumentation/health",
        ] {
            assert_eq!(api.get(path).status, 200, "{environment} {path}");
        }
        let at_start: Vec<_> = errors_at_start(&api)
            .into_iter()
            .filter(|line| line["target"] != "gatewayz::request")
            .collect();
        assert_eq!(at_start.len(), 1, "{environment}: {at_start:?}");
    }
}

#[test]
fn the_published_key_works_in_local_alone() {
    let api = spawn(&[("ADMIN_API_KEY", PUBLISHED_KEY)]);

    let answer = api.admin("GET", "/api/instrumentation/config", b"");

    json_of(&answer);
    assert_eq!(errors_at_start(&api), Vec::<Value>::new());
}

#[test]
fn wrong_keys_are_throttled_and_the_right_one_never() {
    let api = spawn(&[("ADMIN_API_KEY", KEY)]);
    let path = "/api/instrumentation/config";
    let mut client = api.client();
    let mut status_with = |authorization: &str| {
        let answer = client.get(path, &[("Authorization", authorization)]).unwrap();
        if answer.status == 429 {
            assert_problem(&answer, 429);
            assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
        }
        answer.status
    };

    let malformed: Vec<_> = (0..40).map(|_| status_with("Bearer")).collect();
    let first: Vec<_> = (0..20)
        .map(|_| status_with(&format!("Bearer {WRONG_KEY}")))
        .collect();
    let next: Vec<_> = (0..40)
        .map(|_| status_with(&format!("Bearer {WRONG_KEY}")))
        .collect();
    let right = status_with(&format!("Bearer {KEY}"));

    assert_eq!(malformed, [401; 40]);
    assert_eq!(first, [401; 20]);
    let throttled = next.iter().filter(|status| **status == 429).count();
    // One more wrong key a second is answered 401.
    assert!(throttled >= 30, "{next:?}");
    assert_eq!(right, 200);
    let samples = api.scrape();
    let attempts = |outcome, reason| {
        samples.value(
            "admin_auth_attempts_total",
            &[("outcome", outcome), ("reason", reason)],
        )
    };
    assert_eq!(attempts("throttled", "wrong_key"), Some(throttled as f64));
    assert_eq!(attempts("refused", "wrong_key"), Some((60 - throttled) as f64));
    assert_eq!(attempts("refused", "malformed"), Some(40.0));
}

#[test]
fn the_self_test_is_open_in_local_and_for_admins_elsewhere() {
    let local = spawn(&[("ADMIN_API_KEY", KEY)]);
    let staging = spawn(&[("ADMIN_API_KEY", KEY), ("ENVIRONMENT", "staging")]);

    let open = json_of(&local.request("POST", "/api/metrics/test", &[], b""));
    let refused = staging.request("POST", "/api/metrics/test", &[], b"");
    let admitted = json_of(&as_admin(&staging, "POST", "/api/metrics/test", b""));

    assert_unauthorized(&refused, CHALLENGE);
    for report in [open, admitted] {
        assert_eq!(report["status"], "success", "{report}");
        assert_eq!(report["verification"]["prometheus"]["status"], "success");
        assert_eq!(report["verification"]["loki"]["status"], "disabled");
        assert_eq!(report["verification"]["tempo"]["status"], "disabled");
    }
}

#[test]
fn a_test_trace_without_a_backend_is_disabled() {
    let api = spawn(&[("ADMIN_API_KEY", KEY)]);

    let report = json_of(&as_admin(&api, "POST", "/api/instrumentation/test-trace", b""));

    assert_eq!(report["status"], "disabled");
    assert_eq!(report["flush_result"], false);
    assert_eq!(
        (&report["error"], &report["endpoint"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn a_test_trace_has_arrived_when_it_reports_success() {
    let receiver = Receiver::start();
    let transports = [
        ("TEMPO_OTLP_GRPC_ENDPOINT", receiver.grpc_endpoint()),
        ("TEMPO_OTLP_HTTP_ENDPOINT", receiver.http_endpoint()),
    ];
    for (variable, endpoint) in transports {
        let api = spawn(&[("ADMIN_API_KEY", KEY), (variable, &endpoint)]);

        let report = json_of(&as_admin(&api, "POST", "/api/instrumentation/test-trace", b""));

        assert_eq!(report["status"], "success", "{variable}: {report}");
        assert_eq!(report["flush_result"], true);
        assert_eq!(report["error"], Value::Null);
        assert!(
            report["endpoint"].as_str().unwrap().starts_with(&endpoint),
            "{report}"
        );
        let trace_id = report["trace_id"].as_str().unwrap();
        let of_trace = |name| {
            let spans = receiver.spans_named(name).into_iter();
            let mut spans = spans.filter(|span| span.trace_id_hex() == trace_id);
            let span = spans.next().unwrap();
            assert_eq!(spans.next(), None, "{name} arrived twice");
            span
        };
        let (parent, child) = (of_trace("test_trace_export"), of_trace("test_trace_export_child"));
        assert_eq!(parent.span_id_hex(), report["span_id"].as_str().unwrap());
        assert_eq!(child.parent_span_id, Some(parent.span_id));
    }
}

#[test]
fn a_test_trace_that_is_not_delivered_fails_with_the_reason_in_bounded_time() {
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let receiver = Receiver::start();
    let cases = [
        (format!("http://{refusing}"), None),
        (receiver.http_endpoint(), Some(otlp::Answer::Status(400))),
        (receiver.http_endpoint(), Some(otlp::Answer::Hang)),
    ];
    for (endpoint, answer) in cases {
        receiver.answer_next(answer.clone().into_iter().collect());
        let api = spawn(&[("ADMIN_API_KEY", KEY), ("TEMPO_OTLP_HTTP_ENDPOINT", &endpoint)]);

        let started = Instant::now();
        let report = json_of(&as_admin(&api, "POST", "/api/instrumentation/test-trace", b""));
        let took = started.elapsed();

        assert_eq!(report["status"], "failed", "{answer:?}: {report}");
        assert_eq!(report["flush_result"], false);
        let said = [&report["error"], &report["message"]].map(|text| text.as_str().unwrap_or_default());
        assert!(
            answer == Some(otlp::Answer::Hang) || !said[0].is_empty(),
            "{answer:?}: {report}"
        );
        assert!(!said[1].is_empty());
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

#[test]
fn a_test_log_is_on_stdout_when_it_reports_success() {
    let api = spawn(&[("ADMIN_API_KEY", KEY)]);

    let report = json_of(&as_admin(&api, "POST", "/api/instrumentation/test-log", b""));

    assert_eq!(report["status"], "success", "{report}");
    assert_eq!(report["levels_written"], json!(["ERROR", "WARN", "INFO"]));
    for level in ["ERROR", "WARN", "INFO"] {
        let line = api.wait_for_line(|line| line["test"] == true && line["level"] == level);
        assert_eq!(line["trace_id"], report["trace_id"]);
        assert_eq!(line["endpoint"], "/api/instrumentation/test-log");
    }
}

#[test]
fn log_levels_are_read_set_reset_and_fall_back_by_themselves() {
    let receiver = Receiver::start();
    let endpoint = receiver.http_endpoint();
    let api = spawn(&[("ADMIN_API_KEY", KEY), ("TEMPO_OTLP_HTTP_ENDPOINT", &endpoint)]);
    let log_level =
        |method, body: &str| as_admin(&api, method, "/api/instrumentation/log-level", body.as_bytes());
    let in_force = || {
        json_of(&log_level("GET", ""))["levels"]
            .as_str()
            .unwrap()
            .to_owned()
    };

    assert_eq!(in_force(), "info");
    let set = json_of(&log_level("PUT", r#"{"levels":"warn,gatewayz_api=debug"}"#));
    assert_eq!(
        (&set["levels"], &set["configured"]),
        (&json!("warn,gatewayz_api=debug"), &json!("info"))
    );
    assert_eq!(set["ttl_remaining_seconds"], Value::Null);
    let lines = json_of(&as_admin(&api, "POST", "/api/instrumentation/test-log", b""));
    assert_eq!(lines["levels_written"], json!(["ERROR", "WARN", "INFO", "DEBUG"]));
    assert_eq!(json_of(&log_level("DELETE", ""))["levels"], "info");

    let limited = json_of(&log_level("PUT", r#"{"levels":"off","ttl_seconds":1}"#));
    assert_eq!(
        limited["ttl_remaining_seconds"], 1,
        "a second that has begun remains"
    );
    let unseen = api.get("/health");
    let fell_back = wait_for(DEADLINE, || (in_force() == "info").then_some(()));
    assert_eq!(fell_back, Some(()));

    for refused in [
        r#"{"levels":"loud"}"#,
        r#"{"levels":"info,debug"}"#,
        r#"{"levels":"info,a b=debug"}"#,
        r#"{"levels":""}"#,
        r#"{}"#,
        r#"{"levels":"info","more":1}"#,
        r#"{"levels":"info","ttl_seconds":0}"#,
        r#"{"levels":"info","ttl_seconds":86401}"#,
        r#"{"levels":"info","ttl_seconds":-1}"#,
    ] {
        assert_problem(&log_level("PUT", refused), 400);
    }
    assert_eq!(in_force(), "info");
    let unseen = unseen.header("x-trace-id").unwrap();
    let exported = || {
        receiver
            .spans()
            .iter()
            .any(|span| span.trace_id_hex() == unseen)
            .then_some(())
    };
    assert_eq!(
        wait_for(DEADLINE, exported),
        Some(()),
        "levels do not touch traces"
    );
    let last = api.get("/health");
    api.wait_for_line(|line| line["trace_id"].as_str() == last.header("x-trace-id"));
    assert!(!api.lines().iter().any(|line| line["trace_id"] == unseen));
}

#[test]
fn no_secret_is_in_any_answer_line_or_page() {
    let loki = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let push_url = format!("http://{loki}/push?key=canary-query-83c1");
    let userinfo_url = format!("http://someone:canary-userinfo-5d20@{loki}/");
    let common = [
        ("ADMIN_API_KEY", KEY),
        ("METRICS_TOKEN", "canary-token-9f3e-71b8c204"),
        ("LOKI_ENABLED", "true"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=canary-header-60aa"),
        ("AWS_SECRET_ACCESS_KEY", "canary-foreign-17c9"),
        ("DATABASE_URL", "postgres://user:canary-database-b4e2@host/db"),
    ];
    let secrets = ["canary", KEY, "AWS_SECRET_ACCESS_KEY", "DATABASE_URL"];
    let endpoint = format!("http://{loki}");
    let variants: [&[(&str, &str)]; 2] = [
        &[
            ("LOKI_PUSH_URL", &push_url),
            ("LOKI_USERNAME", "someone"),
            ("LOKI_PASSWORD", "canary-password-2a77"),
            ("TEMPO_OTLP_GRPC_ENDPOINT", &endpoint),
        ],
        &[
            ("LOKI_PUSH_URL", &userinfo_url),
            ("TEMPO_OTLP_HTTP_ENDPOINT", &endpoint),
        ],
    ];
    for variant in variants {
        let variables: Vec<_> = common.iter().chain(variant).copied().collect();
        let api = spawn(&variables);

        let mut said = Vec::new();
        for (method, path, body, _) in ADMIN_ROUTES {
            let admitted = as_admin(&api, method, path, body);
            assert_eq!(admitted.status, 200, "{path}: {}", admitted.text());
            said.extend([
                admitted,
                call(&api, method, path, &["Bearer canary-wrong-c0de"], body),
            ]);
        }
        for path in [
            "/",
            "/ready",
            "/docs",
            "/openapi.json",
            "/api/metrics/status",
            "/api/metrics/summary",
            "/api/metrics/health",
            "/api/metrics/grafana-queries",
            "/api/instrumentation/health",
            "/api/instrumentation/trace-context?password=canary-query-11ee",
            "/nothing?token=canary-query-22ff",
        ] {
            let headers = [
                ("Authorization", "Bearer canary-wrong-c0de"),
                ("Cookie", "id=canary-cookie-ab12"),
            ];
            said.extend([
                as_admin(&api, "GET", path, b""),
                api.request("GET", path, &headers, b""),
            ]);
        }
        let token = [("Authorization", "Bearer canary-token-9f3e-71b8c204")];
        let page = api.request("GET", "/metrics", &token, b"");
        assert_eq!(page.status, 200);
        said.push(page);
        let last = api.get("/health");
        api.wait_for_line(|line| line["trace_id"].as_str() == last.header("x-trace-id"));

        let answers = said
            .iter()
            .map(|answer| format!("{:?} {}", answer.headers, answer.text()));
        for text in answers.chain(api.service.stdout()).chain(api.service.stderr()) {
            assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
        }
    }
}
