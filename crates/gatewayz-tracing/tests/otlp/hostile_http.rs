//! OTLP/HTTP receivers that mean harm: each costs one attempt, a bounded time and a bounded part of its answer.

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use gatewayz_delivery::{Attempt, Delivery, Sink};
use gatewayz_tracing::otlp::{OtlpSink, Protocol};

use crate::raw::{PART_BYTES, Peer, Server};
use crate::{ENOUGH, batch, delivery, eager, push, send, settings};

/// A partial success: one span refused.
const PARTIAL: &[u8] = b"\x0a\x02\x08\x01";

fn sink(server: &Server) -> OtlpSink {
    OtlpSink::new(&settings(Protocol::HttpProtobuf, &server.url())).unwrap()
}

/// Answers each request with these bytes and keeps the connection.
fn answering(answer: impl Into<Vec<u8>>) -> Server {
    let answer = answer.into();
    Server::start(move |_, peer| {
        loop {
            peer.read_http()?;
            peer.write(&answer)?;
        }
    })
}

/// Answers with a head and then without end.
fn endless(status: u16, pause: Duration, part: usize) -> Server {
    Server::start(move |_, peer| {
        peer.read_http()?;
        peer.write(
            format!(
                "HTTP/1.1 {status} Endless\r\nContent-Length: {}\r\n\r\n",
                1_u64 << 40
            )
            .as_bytes(),
        )?;
        let part = vec![b'x'; part];
        peer.for_ever(pause, |peer| peer.write(&part))
    })
}

#[track_caller]
fn assert_means(status: u16, attempt: &Attempt) {
    let as_expected = match (status, attempt) {
        (200, Attempt::Delivered) => true,
        (400, Attempt::Rejected(failure)) | (503, Attempt::Retry { after: None, failure }) => {
            failure.status == status.to_string()
        }
        _ => false,
    };
    assert!(as_expected, "{status}: {attempt:?}");
}

#[test]
fn a_huge_answer_is_cut() {
    for status in [200, 400, 503] {
        let server = endless(status, Duration::ZERO, PART_BYTES);

        assert_means(status, &send(&mut sink(&server)));

        server.wait_for_closed(1);
        // What the sockets' buffers hold, not what the receiver has.
        assert!(server.written() < 64 << 20);
    }
}

#[test]
fn a_status_counts_though_its_text_drips_for_ever() {
    for status in [200, 400, 503] {
        let server = endless(status, Duration::from_millis(20), 1);
        let mut sink = sink(&server);
        let before = Instant::now();

        assert_means(status, &send(&mut sink));

        assert!(before.elapsed() < ENOUGH / 2, "{:?}", before.elapsed());
        server.wait_for_closed(1);
    }
}

#[test]
fn a_text_that_would_outlast_the_attempt_does_not_undo_the_status() {
    let server = endless(200, Duration::from_millis(20), 1);

    let attempt = sink(&server).send(&batch(&["one"]), Instant::now() + Duration::from_millis(900));

    assert!(matches!(attempt, Attempt::Delivered), "{attempt:?}");
}

#[test]
fn a_compressed_answer_is_not_unpacked() {
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    for body in [gzip(PARTIAL), gzip(&vec![0; 32 << 20])] {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let server = answering([head.as_bytes(), &body].concat());

        let attempt = send(&mut sink(&server));

        assert!(matches!(attempt, Attempt::Delivered), "{attempt:?}");
    }
}

#[test]
fn a_redirect_is_final_and_the_other_origin_sees_nothing() {
    let elsewhere = Server::start(|_, peer| peer.hang());
    for status in [300, 301, 302, 303, 304, 305, 307, 308] {
        let location = elsewhere.url();
        let server = answering(format!(
            "HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        ));

        let attempt = send(&mut sink(&server));

        assert!(matches!(attempt, Attempt::Rejected(_)), "{attempt:?}");
        assert_eq!(server.requests().len(), 1);
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn garbage_with_a_success_is_a_success() {
    for body in [
        &b"\xff\xff\xff\xff"[..],
        b"<html>",
        b"\x0a\xff\xff\xff\xff\x0f",
        &[0; 4096],
    ] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let server = answering([head.as_bytes(), body].concat());

        let attempt = send(&mut sink(&server));

        assert!(matches!(attempt, Attempt::Delivered), "{attempt:?}");
    }
}

/// The first answer is `first`, which is none; every later one is a success.
#[track_caller]
fn check_costs_one_attempt(first: impl Fn(&mut Peer) -> std::io::Result<()> + Send + Sync + 'static) {
    let server = Server::start(move |number, peer| {
        peer.read_http()?;
        if number == 0 {
            return first(peer);
        }
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    });
    let delivery: Delivery = delivery(&settings(Protocol::HttpProtobuf, &server.url()), eager());
    push(&delivery, "one");
    push(&delivery, "two");

    let status = delivery.shutdown(Instant::now() + ENOUGH);

    assert_eq!((status.created, status.delivered, status.retries), (2, 2, 1));
    let [first, second] = server.requests().try_into().unwrap();
    assert_eq!(first, second, "the bytes of the second attempt");
}

#[test]
fn no_answer_after_the_whole_request_costs_one_attempt() {
    check_costs_one_attempt(Peer::reset);
    check_costs_one_attempt(|_| Ok(()));
    check_costs_one_attempt(|peer| peer.write(b"\0\xff not http\r\n\r\n"));
    check_costs_one_attempt(|peer| peer.write(b"HTTP/1.1 200 OK\r\nContent-Le"));
    check_costs_one_attempt(|peer| peer.write(&[b'a'; 1 << 20]));
}

#[test]
fn a_receiver_that_never_answers_is_left_at_the_deadline() {
    let stuck = |peer: &mut Peer| {
        peer.write(b"HTTP/1.1 200 OK\r\n")?;
        peer.hang()
    };
    let dripping = |peer: &mut Peer| peer.for_ever(Duration::from_millis(5), |peer| peer.write(b"H"));
    let serves: [fn(&mut Peer) -> std::io::Result<()>; 3] = [Peer::hang, stuck, dripping];
    for serve in serves {
        let server = Server::start(move |_, peer| {
            peer.read_http()?;
            serve(peer)
        });

        let attempt = sink(&server).send(&batch(&["one"]), Instant::now() + Duration::from_millis(100));

        let Attempt::Retry { after: None, failure } = attempt else {
            panic!("{attempt:?}")
        };
        assert!(
            ["timeout", "transport"].contains(&&*failure.status),
            "{failure:?}"
        );
        server.wait_for_closed(1);
    }
}

#[test]
fn a_wait_given_as_a_date_is_kept_and_nonsense_is_none() {
    let in_a_minute = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(60));
    for (given, at_least) in [
        (in_a_minute.as_str(), Some(50)),
        ("soon", None),
        ("-5", None),
        ("99999999999999999999", None),
    ] {
        let server = answering(format!(
            "HTTP/1.1 503 Later\r\nRetry-After: {given}\r\nContent-Length: 0\r\n\r\n"
        ));

        let attempt = send(&mut sink(&server));

        let Attempt::Retry { after, .. } = attempt else {
            panic!("{attempt:?}")
        };
        assert_eq!(after.is_some(), at_least.is_some(), "{given}");
        let asked = after.map_or(0, |after| after.as_secs());
        assert!(
            asked >= at_least.unwrap_or(0) && asked <= 60,
            "{given}: {asked} s"
        );
    }
}
