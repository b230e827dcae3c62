//! What malformed requests are answered, and what they leave behind.

mod bodies;
mod headers;
mod readers;

use std::fmt::Write;
use std::fs;

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
