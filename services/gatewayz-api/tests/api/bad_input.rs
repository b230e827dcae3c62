//! What malformed requests are answered, and what they leave behind.

use std::fmt::Write;
use std::fs;
use std::time::Instant;

use gatewayz_testkit::http::Answer;
use serde_json::Value;

use crate::admin_matrix::assert_problem;
use crate::harness::{Api, DEADLINE, PUBLISHED_KEY, spawn, wait_for};

const MIB: usize = 1024 * 1024;

#[track_caller]
fn local() -> Api {
    spawn(&[("ADMIN_API_KEY", PUBLISHED_KEY)])
}

/// Checks that the service is as before, and returns its log lines, each of them one printable JSON object.
#[track_caller]
fn assert_still_serving(api: &Api) -> Vec<Value> {
    let answer = api.get("/api/users/1");
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, r#"{"id":1,"name":"John"}"#)
    );
    let settled = wait_for(DEADLINE, || {
        let samples = api.scrape();
        let is_idle = samples.sum("fastapi_requests_in_progress", &[]) == 0.0;
        let made = samples.sum("telemetry_log_records_total", &[]);
        (is_idle && made == api.service.stdout().len() as f64).then_some(())
    });
    assert_eq!(settled, Some(()), "requests end, and every line arrives");
    for line in api.service.stdout() {
        let is_plain = |symbol: char| !symbol.is_control() && !is_deceptive(symbol);
        assert!(line.chars().all(is_plain), "{line:?}");
        assert!(line.len() < 16 * 1024, "{} bytes", line.len());
    }
    api.lines()
}

/// Characters that hide text in a terminal, or reorder it.
fn is_deceptive(symbol: char) -> bool {
    matches!(symbol, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[track_caller]
fn resident_bytes(api: &Api) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", api.service.id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[track_caller]
fn raw(api: &Api, bytes: &[u8]) -> Answer {
    let mut client = api.client();
    client.send(bytes).unwrap();
    client.read_answer().unwrap()
}

#[test]
fn a_path_that_does_not_exist_is_a_404_problem() {
    let api = local();

    for path in [
        "/nothing",
        "/api/users",
        "/api/users/1/more",
        "/api/users/one",
        "/API/USERS/1",
        "//",
        "/%00",
        "/%ff%fe",
    ] {
        assert_problem(&api.get(path), 404);
    }
    assert_still_serving(&api);
}

#[test]
fn a_method_that_a_path_does_not_take_is_answered_with_those_it_takes() {
    let api = local();
    let long = "A".repeat(300);

    for method in [
        "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "get", &long,
    ] {
        for (path, allow) in [
            ("/health", "GET, HEAD"),
            ("/api/users/1", "GET, HEAD"),
            ("/api/metrics/status", "GET, HEAD"),
        ] {
            let answer = api.request(method, path, &[], b"");
            assert_problem(&answer, 405);
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        }
    }
    // No trace is made for a scrape, so that its refusal has no trace id.
    let scrape = api.request("POST", "/metrics", &[], b"");
    assert_eq!((scrape.status, scrape.header("allow")), (405, Some("GET, HEAD")));
    let methods = api.scrape();
    for method in ["BREW", "get", &long] {
        assert_eq!(methods.sum("fastapi_requests_total", &[("method", method)]), 0.0);
        assert_eq!(
            methods.sum("gatewayz_instrumentation_requests_total", &[("method", method)]),
            0.0
        );
    }
    assert_still_serving(&api);
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
fn a_body_that_is_too_long_is_refused_by_its_declared_length() {
    let api = local();
    let authorization = format!("Authorization: Bearer {PUBLISHED_KEY}\r\n");
    for length in ["1048577", "10737418240", "18446744073709551615"] {
        for (method, path) in [
            ("POST", "/health"),
            ("PUT", "/api/instrumentation/log-level"),
            ("GET", "/nothing"),
        ] {
            let mut client = api.client();
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: h\r\n{authorization}Content-Length: {length}\r\n\r\n"
            );
            client.send(head.as_bytes()).unwrap();
            let answer = client.read_answer().unwrap();
            assert_problem(&answer, 413);
            assert!(client.is_closed_by_server(), "{method} {path} {length}");
        }
    }
    assert_still_serving(&api);
}

#[test]
fn an_endless_body_is_refused_and_its_connection_closed() {
    let api = local();
    let authorization =
        format!("Authorization: Bearer {PUBLISHED_KEY}\r\nContent-Type: application/json\r\n");
    let chunk = [b"10000\r\n".as_slice(), &[b'a'; 0x10000], b"\r\n"].concat();
    let before = resident_bytes(&api);
    for (method, path, status) in [
        ("PUT", "/api/instrumentation/log-level", 413),
        ("POST", "/health", 405),
        ("POST", "/nothing", 404),
    ] {
        let mut client = api.client();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: h\r\n{authorization}Transfer-Encoding: chunked\r\n\r\n"
        );
        client.send(head.as_bytes()).unwrap();

        let started = Instant::now();
        let is_refused = || client.send(&chunk).is_err() || started.elapsed() > DEADLINE;
        std::iter::repeat_with(is_refused).find(|refused| *refused);

        assert!(started.elapsed() < DEADLINE, "{method} {path} is read for ever");
        if let Ok(answer) = client.read_answer() {
            assert_eq!(answer.status, status, "{method} {path}");
        }
    }
    let grown = resident_bytes(&api).saturating_sub(before);
    assert!(grown < 8 * MIB, "{grown} bytes");
    assert_still_serving(&api);
}

#[test]
fn encoded_bodies_are_refused_unread_also_when_they_are_bombs() {
    let api = local();
    api.get("/health");
    let before = resident_bytes(&api);
    for (encoding, bomb) in [
        ("br", brotli_bomb()),
        ("zstd", zstd_bomb()),
        ("gzip", gzip_bomb()),
    ] {
        for (method, path) in [
            ("PUT", "/api/instrumentation/log-level"),
            ("POST", "/health"),
            ("POST", "/api/metrics/test"),
        ] {
            let authorization = format!("Bearer {PUBLISHED_KEY}");
            let headers = [
                ("Authorization", authorization.as_str()),
                ("Content-Type", "application/json"),
                ("Content-Encoding", encoding),
            ];
            assert_problem(&api.request(method, path, &headers, &bomb), 415);
        }
    }
    for encoding in ["deflate", "identity, br", "BR", "x-gzip", "", "nonsense"] {
        let headers = [("Content-Encoding", encoding)];
        assert_problem(&api.request("POST", "/health", &headers, b"{}"), 415);
    }

    let grown = resident_bytes(&api).saturating_sub(before);

    assert!(grown < 8 * MIB, "{grown} bytes");
    assert_still_serving(&api);
}

/// 1 GiB of zeros in 809 bytes: the stream repeats itself after its first meta-block.
fn brotli_bomb() -> Vec<u8> {
    const START: &str = "cfffff7f002400e2b14072";
    const PERIOD: &str = "effff9ffff0f8004401c1680eefd3fffffff01900088c302d0bdffe7ffff3f001200715800baf7fffcffff074002200e0b\
        40f7fe9fffffff004800c46101e8defff3ffff1f000980382c00ddfb7ffeffff032001108705a07bffcfffff7f002400e2b00074";
    const LAST: u8 = 0x3f;
    let bytes = |hex: &str| -> Vec<u8> {
        let pairs = (0..hex.len()).step_by(2);
        pairs
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    };
    let mut bomb: Vec<u8> = bytes(START)
        .into_iter()
        .chain(bytes(PERIOD).repeat(8))
        .take(808)
        .collect();
    bomb.push(LAST);
    bomb
}

/// One frame of 8,192 run-length blocks of 128 KiB each: 1 GiB of zeros in 32 KiB.
fn zstd_bomb() -> Vec<u8> {
    const BLOCKS: usize = 8192;
    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88];
    for block in 1..=BLOCKS {
        let header = (0x20000_u32 << 3) | (1 << 1) | u32::from(block == BLOCKS);
        bomb.extend_from_slice(&header.to_le_bytes()[..3]);
        bomb.push(0);
    }
    bomb
}

fn gzip_bomb() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; MIB];
    for _ in 0..64 {
        std::io::Write::write_all(&mut encoder, &zeros).unwrap();
    }
    encoder.finish().unwrap()
}

#[test]
fn a_body_of_another_type_or_form_is_refused() {
    let api = local();
    let authorization = format!("Bearer {PUBLISHED_KEY}");
    let put = |content_type: &[(&str, &str)], body: &[u8]| {
        let headers: Vec<_> = [("Authorization", authorization.as_str())]
            .iter()
            .chain(content_type)
            .copied()
            .collect();
        api.request("PUT", "/api/instrumentation/log-level", &headers, body)
    };
    let json = [("Content-Type", "application/json")];
    let deep = [b"[".repeat(2000), b"]".repeat(2000)].concat();

    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "nonsense",
        "",
    ] {
        assert_problem(
            &put(&[("Content-Type", content_type)], br#"{"levels":"debug"}"#),
            415,
        );
    }
    assert_problem(&put(&[], br#"{"levels":"debug"}"#), 415);
    let broken: [&[u8]; 8] = [
        b"{",
        b"nonsense",
        br#"{"levels":"debug"}}"#,
        br#"{"levels":1}"#,
        b"[]",
        b"null",
        b"{\"levels\":\"\xff\"}",
        &deep,
    ];
    for body in broken {
        assert_problem(&put(&json, body), 400);
    }
    assert_problem(&put(&json, b""), 400);
    let long = format!(r#"{{"levels":"{}"}}"#, "a".repeat(8 * 1024));
    assert_problem(&put(&json, long.as_bytes()), 413);
    let in_force = api.admin("GET", "/api/instrumentation/log-level", b"").text();
    assert!(!in_force.contains("debug"), "{in_force}");
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
    for header in refused {
        let request = [b"POST /health HTTP/1.1\r\nHost: h\r\n", header, b"\r\n\r\n"].concat();
        assert_eq!(
            raw(&api, &request).status,
            400,
            "{}",
            String::from_utf8_lossy(header)
        );
    }
    let ignored: [&[u8]; 7] = [
        b"Accept: \xff\xfe",
        b"Authorization: \xff\xfe",
        b"Cookie: ;;;===;;;",
        b"If-None-Match: \"",
        b"Range: bytes=9999999999999999999-0",
        b"X-Forwarded-For: ../../etc, \x80\x81",
        b"Expect: nonsense",
    ];
    for header in ignored {
        let request = [b"GET /health HTTP/1.1\r\nHost: h\r\n", header, b"\r\n\r\n"].concat();
        assert_eq!(
            raw(&api, &request).status,
            200,
            "{}",
            String::from_utf8_lossy(header)
        );
    }
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

#[test]
fn a_path_cannot_write_into_the_log() {
    let api = local();
    let injected = [
        "%0d%0a%7b%22level%22:%22ERROR%22,%22forged%22:true%7d",
        "%1b%5b31mred%1b%5d0;title%07",
        "%c2%9b31m%7f%08%00",
        "%e2%80%ae%e2%81%a6evil%e2%80%a8%e2%80%a9%ef%bb%bf%e2%80%8b",
        "%22,%22level%22:%22ERROR%22,%22forged%22:true,%22x%22:%22",
        "%5c%22%5c",
        "%ff%fe%c0%af%ed%a0%80",
    ];
    let mut expected = Vec::new();
    for path in injected {
        for prefix in ["/", "/api/users/", "/health?q="] {
            let answer = api.get(&format!("{prefix}{path}"));
            expected.push(answer.header("x-trace-id").unwrap().to_owned());
        }
        let header = [("User-Agent", path), ("Referer", path)];
        expected.push(
            api.request("GET", "/health", &header, b"")
                .header("x-trace-id")
                .unwrap()
                .to_owned(),
        );
    }

    let lines = assert_still_serving(&api);

    let of_requests = lines.iter().filter(|line| line["target"] == "gatewayz::request");
    assert_eq!(of_requests.count(), expected.len() + 1);
    for trace_id in expected {
        assert_eq!(
            lines.iter().filter(|line| line["trace_id"] == *trace_id).count(),
            1
        );
    }
    assert!(
        lines
            .iter()
            .all(|line| line.get("forged").is_none() && line["level"] != "ERROR")
    );
}

#[test]
fn random_paths_and_methods_make_no_series_of_their_own() {
    const REQUESTS: usize = 10_000;
    const PIPELINED: usize = 100;
    let api = spawn(&[("LOG_LEVEL", "error")]);
    // HEAD is not pipelined: the HTTP library then mixes up which answers have a body.
    let methods = [
        "GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW", "HEAD",
    ];
    // Each method to no route, and each to one: the most that the labels can hold of them.
    for method in methods {
        for path in ["/nothing", "/api/users/1"] {
            api.request(method, path, &[], b"");
        }
    }
    let counted = || api.scrape().sum("fastapi_requests_total", &[]);
    api.wait_for_requests(2.0 * methods.len() as f64);
    let series = |samples: &gatewayz_testkit::scrape::Samples| -> usize {
        samples
            .names()
            .filter(|name| name.starts_with("fastapi_"))
            .map(|name| samples.series_count(name))
            .sum()
    };
    let before = series(&api.scrape());
    let resident = resident_bytes(&api);

    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for _ in 0..REQUESTS / PIPELINED {
        let mut head = String::new();
        for _ in 0..PIPELINED {
            let number = random();
            let method = methods[usize::try_from(number % 7).unwrap()];
            let prefix = if number & (1 << 60) == 0 {
                "/api/users/"
            } else {
                "/"
            };
            let other = random();
            write!(
                head,
                "{method} {prefix}{number:x}/{other:x}?q={other} HTTP/1.1\r\nHost: {other:x}.example\r\n"
            )
            .unwrap();
            write!(head, "User-Agent: {number}\r\nX-Forwarded-Host: {other}\r\n\r\n").unwrap();
        }
        let mut client = api.client();
        client.send(head.as_bytes()).unwrap();
        for _ in 0..PIPELINED {
            assert_eq!(client.read_answer().unwrap().status, 404);
        }
    }
    // An unknown method closes its connection, so that it cannot be pipelined.
    for _ in 0..200 {
        let number = random();
        let answer = api.request(&format!("M{number:X}"), &format!("/{number}"), &[], b"");
        assert!(matches!(answer.status, 404 | 405), "{}", answer.status);
    }

    let total = 2 * methods.len() + REQUESTS + 200;
    let reached = wait_for(DEADLINE, || (counted() == total as f64).then_some(()));
    assert_eq!(reached, Some(()), "{} of {total}", counted());
    let after = series(&api.scrape());
    assert_eq!(after, before, "new series");
    let grown = resident_bytes(&api).saturating_sub(resident);
    assert!(grown < 8 * MIB, "{grown} bytes");
}
