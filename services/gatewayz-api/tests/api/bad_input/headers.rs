//! Heads that are too long, broken, or full of garbage.

use gatewayz_testkit::http::Answer;

use super::{assert_still_serving, local};
use crate::admin_matrix::assert_problem;
use crate::harness::{Api, spawn};

#[track_caller]
fn raw(api: &Api, bytes: &[u8]) -> Answer {
    let mut client = api.client();
    client.send(bytes).unwrap();
    client.read_answer().unwrap()
}

#[track_caller]
fn check_status_with(api: &Api, method: &[u8], headers: &[&[u8]], status: u16) {
    for header in headers {
        let request = [method, b" /health HTTP/1.1\r\nHost: h\r\n", header, b"\r\n\r\n"].concat();
        assert_eq!(
            raw(api, &request).status,
            status,
            "{}",
            String::from_utf8_lossy(header)
        );
    }
}

#[test]
fn a_head_or_target_that_is_too_long_is_refused_before_anything_reads_it() {
    let api = local();
    let part = "a".repeat(11 * 1024);
    let huge = "a".repeat(200 * 1024);
    let names: Vec<String> = (0..120).map(|number| format!("x-{number}")).collect();

    let below = api.request("GET", "/health", &[("x-1", &part), ("x-2", &part)], b"");
    let long_head = api.request(
        "GET",
        "/health",
        &[("x-1", &part), ("x-2", &part), ("x-3", &part)],
        b"",
    );
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let many = api.request("GET", "/health", &many, b"");
    let target = format!("/health?{}", "a".repeat(8 * 1024));
    let long_target = api.get(&target);

    assert_eq!(below.status, 200);
    assert_problem(&long_head, 431);
    assert_eq!(many.status, 431);
    assert_problem(&long_target, 414);
    // Beyond what the parser takes, the answer may be lost to the reset of the connection.
    if let Ok(answer) = api.client().request("GET", "/health", &[("x-1", &huge)], b"") {
        assert_eq!(answer.status, 431);
    }
    assert_still_serving(&api);
}

#[test]
fn what_is_no_request_is_told_at_debug_alone() {
    let silent = |level: &str| {
        let api = spawn(&[("LOG_LEVEL", level)]);
        for bytes in ["GET / HTTP/1.1\r\nbro ken: 1\r\n\r\n", "\u{16}\u{3}\u{1}\r\n\r\n"] {
            assert_eq!(raw(&api, bytes.as_bytes()).status, 400);
        }
        let lines = assert_still_serving(&api);
        !lines
            .iter()
            .any(|line| line["target"] == "actix_http::h1::dispatcher")
    };

    assert!(silent("info"));
    assert!(!silent("info,actix_http=debug"));
}

#[test]
fn absurd_headers_are_refused_or_ignored() {
    let api = local();
    let refused: [&[u8]; 8] = [
        b"Content-Length: nonsense",
        b"Content-Length: +5",
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, nonsense",
        b"x-nul: a\0b",
        b" folded: value",
        b"no colon",
    ];
    check_status_with(&api, b"POST", &refused, 400);
    let ignored: [&[u8]; 7] = [
        b"Accept: \xff\xfe",
        b"Authorization: \xff\xfe",
        b"Cookie: ;;;===;;;",
        b"If-None-Match: \"",
        b"Range: bytes=9999999999999999999-0",
        b"X-Forwarded-For: ../../etc, \x80\x81",
        b"Expect: nonsense",
    ];
    check_status_with(&api, b"GET", &ignored, 200);
    for head in [
        &b"GET /\xff\xfe HTTP/1.1\r\nHost: h\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\0\0\r\n\r\n",
    ] {
        assert_eq!(raw(&api, head).status, 400);
    }
    let accept = api.request(
        "GET",
        "/metrics",
        &[("Accept", "*/*;q=nonsense, application/openmetrics-text;version=9")],
        b"",
    );
    assert!(
        accept
            .header("content-type")
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    assert_still_serving(&api);
}

#[test]
fn garbage_in_trace_headers_starts_a_new_trace() {
    let api = local();
    let known = "0af7651916cd43dd8448eb211c80319c";
    let valid = format!("00-{known}-b7ad6b7169203331-01");
    let long_baggage = "key=value,".repeat(1000);
    let garbage = [
        String::new(),
        "nonsense".to_owned(),
        format!("ff-{known}-b7ad6b7169203331-01"),
        format!("00-{known}-b7ad6b7169203331-01-more"),
        format!("00-{}-b7ad6b7169203331-01", known.to_uppercase()),
        format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
        format!("00-{known}-{}-01", "0".repeat(16)),
        "0".repeat(8000),
        "\u{e9}\u{202e}".to_owned(),
    ];
    for traceparent in &garbage {
        let answer = api.request("GET", "/health", &[("traceparent", traceparent)], b"");
        let trace_id = answer.header("x-trace-id").unwrap();
        assert_eq!(answer.status, 200);
        assert!(
            trace_id != known && trace_id.len() == 32,
            "{traceparent}: {trace_id}"
        );
    }
    let twice = api.request(
        "GET",
        "/health",
        &[("traceparent", &valid), ("traceparent", &valid)],
        b"",
    );
    assert_ne!(twice.header("x-trace-id"), Some(known));
    for (name, value) in [
        ("tracestate", "@@=,=,,,"),
        ("baggage", long_baggage.as_str()),
        ("tracestate", &long_baggage),
    ] {
        let answer = api.request("GET", "/health", &[("traceparent", &valid), (name, value)], b"");
        assert_eq!(
            (answer.status, answer.header("x-trace-id")),
            (200, Some(known)),
            "{name}"
        );
    }

    let lines = assert_still_serving(&api);

    let ids = lines.iter().filter_map(|line| line["trace_id"].as_str());
    assert!(
        ids.clone()
            .all(|id| id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()))
    );
    assert_eq!(ids.filter(|id| *id == known).count(), 3);
}

#[test]
fn a_request_id_is_repeated_only_when_it_is_sane() {
    let api = local();
    let longest = "a".repeat(128);
    for sane in ["abc-123", "A.b_c:d/e+f=g@h", "0", &longest] {
        let answer = api.request("GET", "/health", &[("x-request-id", sane)], b"");
        assert_eq!(answer.header("x-request-id"), Some(sane));
    }
    let too_long = "a".repeat(129);
    for other in [
        "", "a b", "<script>", "a\"b", "a\u{e9}", "a;b", "a,b", "a\tb", &too_long,
    ] {
        let answer = api.request("GET", "/health", &[("x-request-id", other)], b"");
        assert_eq!(
            answer.header("x-request-id"),
            answer.header("x-trace-id"),
            "{other:?}"
        );
    }
}
