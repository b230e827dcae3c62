//! Bodies that are too long, endless, encoded, or of another form.

use std::io::Write;
use std::time::Instant;

use super::{MIB, assert_still_serving, local, resident_bytes};
use crate::admin_matrix::assert_problem;
use crate::harness::{DEADLINE, PUBLISHED_KEY, spawn, wait_for};

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
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap()
}

#[test]
fn long_bodies_of_calls_share_their_room_and_ordinary_calls_go_on() {
    const LONG: usize = 512 * 1024;
    let api = spawn(&[
        ("INFERENCE_BODY_MAX_BYTES", "512KiB"),
        ("INFERENCE_BODIES_MAX_BYTES", "512KiB"),
    ]);
    let call = |length: usize| {
        let words = "x".repeat(length);
        let body = format!(r#"{{"model":"echo","messages":[{{"role":"user","content":"{words}"}}]}}"#);
        api.request("POST", "/v1/chat/completions", &[], body.as_bytes())
    };
    assert_eq!(call(LONG / 2).status, 200);

    let stall = || {
        let mut client = api.client();
        let head =
            format!("POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\ncontent-length: {LONG}\r\n\r\n");
        client.send(head.as_bytes()).unwrap();
        client.send(&vec![b'x'; LONG - 1]).unwrap();
        client
    };
    // Whichever comes second is refused, so it may be the one that was to stall.
    let (stalled, refused) = wait_for(DEADLINE, || {
        let stalled = stall();
        Some((stalled, call(LONG / 2))).filter(|(_, answer)| answer.status != 200)
    })
    .unwrap();
    let ordinary = call(1024);
    drop(stalled);
    let again = wait_for(DEADLINE, || {
        Some(call(LONG / 2)).filter(|answer| answer.status == 200)
    });

    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert!(refused.text().contains("\"overloaded\""), "{}", refused.text());
    assert_eq!((ordinary.status, again.is_some()), (200, true));
}

#[test]
fn a_call_that_announces_too_long_a_body_is_refused_before_it_is_sent() {
    let api = spawn(&[]);
    let mut client = api.client();
    client
        .send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\ncontent-length: 99999999999\r\n\r\n")
        .unwrap();

    let head = client.read_head().unwrap();

    assert_eq!((head.status, head.header("connection")), (413, Some("close")));
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_body_has_left() {
    let api = local();
    let paths = ["/v1/chat/completions", "/api/instrumentation/log-level"];
    for framing in [
        "content-length: 100\r\n\r\n{",
        "transfer-encoding: chunked\r\n\r\n5\r\n{\"m",
    ] {
        for (method, path) in ["POST", "PUT"].iter().zip(paths) {
            let mut client = api.client();
            let head = format!(
                "{method} {path} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {PUBLISHED_KEY}\r\n\
                 content-type: application/json\r\n{framing}"
            );
            client.send(head.as_bytes()).unwrap();
            drop(client);
        }
    }

    let left = || {
        let lines = api.lines();
        let left = lines.iter().filter(|line| line["target"] == "gatewayz::request");
        let statuses: Vec<_> = left.map(|line| line["status_code"].clone()).collect();
        (statuses.len() == 4).then_some(statuses)
    };
    assert_eq!(wait_for(DEADLINE, left), Some(vec![499.into(); 4]));
}

#[test]
fn a_head_that_asks_for_a_websocket_is_refused_with_its_body() {
    let api = spawn(&[]);
    let headers = [("upgrade", "WebSocket"), ("content-type", "application/json")];

    let answer = api.request("POST", "/v1/chat/completions", &headers, b"{}");

    assert_eq!((answer.status, answer.header("connection")), (400, Some("close")));
}
