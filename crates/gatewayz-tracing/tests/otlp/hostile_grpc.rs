//! OTLP/gRPC receivers that mean harm, frame by frame.

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use gatewayz_delivery::{Attempt, Failure, Sink};
use gatewayz_tracing::otlp::{OtlpSink, Protocol};

use crate::raw::{PART_BYTES, Peer, Server};
use crate::{ENOUGH, batch, delivery, eager, push, send, settings};

const SECRET: &str = "canary-7f3a";
/// Room of one frame under the client's default settings.
const FRAME_BYTES: usize = 16 * 1024;

fn sink(server: &Server) -> OtlpSink {
    OtlpSink::new(&settings(Protocol::Grpc, &server.url())).unwrap()
}

/// Reads one request on each connection and answers it.
fn answering(answer: impl Fn(&mut Peer) -> std::io::Result<()> + Send + Sync + 'static) -> Server {
    Server::start(move |_, peer| {
        peer.read_grpc()?;
        answer(peer)?;
        peer.hang()
    })
}

/// An answer in trailers alone.
fn refusing(fields: &'static [(&'static str, &'static str)]) -> Server {
    answering(move |peer| peer.grpc_headers("200", fields, true))
}

#[track_caller]
fn rejected(attempt: Attempt) -> Failure {
    let Attempt::Rejected(failure) = attempt else {
        panic!("{attempt:?}")
    };
    failure
}

#[track_caller]
fn retried(attempt: Attempt) -> Failure {
    let Attempt::Retry { after: None, failure } = attempt else {
        panic!("{attempt:?}")
    };
    failure
}

#[test]
fn an_answer_of_any_bytes_with_a_success_is_a_success() {
    for message in [&b""[..], b"\xff\xff\xff", b"<html>", &[0; 4096]] {
        let server = answering(move |peer| {
            peer.grpc_headers("200", &[], false)?;
            peer.grpc_message(false, message)?;
            peer.grpc_trailers(&[("grpc-status", "0")])
        });

        let attempt = send(&mut sink(&server));

        assert!(matches!(attempt, Attempt::Delivered), "{attempt:?}");
    }
}

#[test]
fn an_answer_too_long_to_be_one_is_not_read_and_not_asked_for_again() {
    let server = answering(|peer| {
        peer.grpc_headers("200", &[], false)?;
        peer.grpc_data(&[0, 0xff, 0xff, 0xff, 0xff])?;
        peer.for_ever(Duration::ZERO, |peer| peer.grpc_data(&[b'x'; FRAME_BYTES]))
    });

    let failure = rejected(send(&mut sink(&server)));

    assert_eq!(failure.status, "OUT_OF_RANGE");
    assert!(server.written() < 64 << 20);
}

#[test]
fn an_answer_of_messages_without_end_is_left_at_the_deadline() {
    let server = answering(|peer| {
        peer.grpc_headers("200", &[], false)?;
        peer.for_ever(Duration::from_millis(1), |peer| peer.grpc_message(false, b""))
    });

    let attempt = sink(&server).send(&batch(&["one"]), Instant::now() + Duration::from_millis(200));

    assert_eq!(retried(attempt).status, "timeout");
}

#[test]
fn a_compressed_answer_is_not_unpacked() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; 8 << 20]).unwrap();
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < FRAME_BYTES);
    for fields in [&[("grpc-encoding", "gzip")][..], &[]] {
        let bomb = bomb.clone();
        let server = answering(move |peer| {
            peer.grpc_headers("200", fields, false)?;
            peer.grpc_message(true, &bomb)?;
            peer.grpc_trailers(&[("grpc-status", "0")])
        });

        rejected(send(&mut sink(&server)));
    }
}

#[test]
fn a_redirect_is_final_and_the_other_origin_sees_nothing() {
    let elsewhere = Server::start(|_, peer| peer.hang());
    for status in ["301", "302", "303", "307", "308"] {
        let location = elsewhere.url();
        let server = answering(move |peer| peer.grpc_headers(status, &[("location", &location)], true));

        rejected(send(&mut sink(&server)));

        assert_eq!(server.requests().len(), 1);
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn broken_details_do_not_hide_the_code() {
    for details in ["%%%", "=", "AAA*", ""] {
        let in_headers = answering(move |peer| {
            peer.grpc_headers(
                "200",
                &[("grpc-status", "14"), ("grpc-status-details-bin", details)],
                true,
            )
        });
        let in_trailers = answering(move |peer| {
            peer.grpc_headers("200", &[], false)?;
            peer.grpc_trailers(&[("grpc-status", "14"), ("grpc-status-details-bin", details)])
        });
        for server in [in_headers, in_trailers] {
            assert_eq!(
                retried(send(&mut sink(&server))).status,
                "UNAVAILABLE",
                "{details}"
            );
        }
    }
}

#[test]
fn an_answer_without_a_status_or_with_an_unknown_one_is_final() {
    for fields in [&[][..], &[("grpc-status", "99")], &[("grpc-status", "no")]] {
        let server = answering(move |peer| peer.grpc_headers("200", fields, true));

        rejected(send(&mut sink(&server)));
    }
}

#[test]
fn a_message_that_repeats_a_header_or_what_was_sent_is_not_told() {
    let secret = refusing(&[
        ("grpc-status", "16"),
        ("grpc-message", "no such key: canary-7f3a%0a"),
    ]);
    let echo = refusing(&[
        ("grpc-status", "3"),
        ("grpc-message", "bad name: \"GET /private\"%1b[2J"),
    ]);
    let long = refusing(&[("grpc-status", "3"), ("grpc-message", LONG)]);
    let told = [secret, echo, long].map(|server| {
        let mut settings = settings(Protocol::Grpc, &server.url());
        settings.headers = vec![("x-api-key".to_owned(), SECRET.into())];
        rejected(send(&mut OtlpSink::new(&settings).unwrap())).message
    });

    assert_eq!(told[0], "the receiver answered UNAUTHENTICATED");
    assert_eq!(told[1], "the receiver answered INVALID_ARGUMENT: bad name:");
    assert_eq!(told[2].chars().count(), 256);
}

const LONG: &str = str_of_a::<8192>();

const fn str_of_a<const LENGTH: usize>() -> &'static str {
    match str::from_utf8(&[b'a'; LENGTH]) {
        Ok(text) => text,
        Err(_) => "",
    }
}

/// The first connection fails as told; every later request is a success.
#[track_caller]
fn check_costs_one_attempt(first: impl Fn(&mut Peer) -> std::io::Result<()> + Send + Sync + 'static) {
    let server = Server::start(move |number, peer| {
        if number == 0 {
            return first(peer);
        }
        peer.read_grpc()?;
        peer.grpc_headers("200", &[], false)?;
        peer.grpc_message(false, b"")?;
        peer.grpc_trailers(&[("grpc-status", "0")])?;
        peer.hang()
    });
    let delivery = delivery(&settings(Protocol::Grpc, &server.url()), eager());
    push(&delivery, "one");
    push(&delivery, "two");

    let status = delivery.shutdown(Instant::now() + ENOUGH);

    assert_eq!(
        (status.created, status.delivered, status.retries),
        (2, 2, 1),
        "{status:?}"
    );
}

#[test]
fn a_broken_connection_costs_one_attempt() {
    check_costs_one_attempt(|peer| {
        peer.read_grpc()?;
        peer.reset()
    });
    check_costs_one_attempt(Peer::read_grpc);
    check_costs_one_attempt(|peer| {
        peer.read_grpc()?;
        peer.grpc_headers("200", &[], false)?;
        peer.grpc_message(false, b"")
    });
    check_costs_one_attempt(|peer| {
        peer.read_grpc()?;
        peer.write(&[0xff; PART_BYTES])
    });
    check_costs_one_attempt(|peer| peer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
}

#[test]
fn a_receiver_that_never_answers_is_left_at_the_deadline() {
    let silent = |peer: &mut Peer| peer.hang();
    let stuck = |peer: &mut Peer| peer.grpc_headers("200", &[], false);
    let dripping = |peer: &mut Peer| {
        peer.grpc_headers("200", &[], false)?;
        peer.grpc_data(&[0, 0, 0, 0x80, 0])?;
        peer.for_ever(Duration::from_millis(5), |peer| peer.grpc_data(b"x"))
    };
    let serves: [fn(&mut Peer) -> std::io::Result<()>; 3] = [silent, stuck, dripping];
    for serve in serves {
        let server = answering(serve);

        let attempt = sink(&server).send(&batch(&["one"]), Instant::now() + Duration::from_millis(200));

        assert_eq!(retried(attempt).status, "timeout");
    }
}
