//! What a push carries, in both formats.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use gatewayz_delivery::{Attempt, Batch, RetryPolicy, Severity, Sink};
use gatewayz_loki::{Credentials, LokiSink, Wire, record};
use gatewayz_testkit::loki::{Answer, Pairs, ReceivedRequest, Receiver};
use proptest::prelude::*;
use secrecy::SecretString;

use crate::{ENOUGH, NOW, SPAN_ID, TRACE_ID, batch, delivery, delivery_with, push, scripted, settings};

const WIRES: [Wire; 2] = [Wire::Json, Wire::Protobuf];
const LEVELS: [&str; 5] = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];

fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn sent(wire: Wire, batch: &Arc<Batch>) -> ReceivedRequest {
    let receiver = Receiver::start();
    let mut sink = LokiSink::new(&settings(&receiver.push_url(), wire)).unwrap();
    let attempt = sink.send(batch, Instant::now() + ENOUGH);
    assert!(matches!(attempt, Attempt::Delivered), "{attempt:?}");
    receiver.requests().remove(0)
}

#[test]
fn a_line_has_its_stream_its_time_and_its_ids() {
    for wire in WIRES {
        let mut out = Vec::new();
        let later = *NOW + 1_000_000_000;
        record::write(
            later,
            "WARN",
            Some(TRACE_ID),
            Some(SPAN_ID),
            b"{\"message\":\"slow\"}\n",
            &mut out,
        );

        let request = sent(wire, &Arc::new(Batch::from_records([out.as_slice()])));

        let line = &request.lines[0];
        assert_eq!(
            (request.method.as_str(), request.target.as_str()),
            ("POST", "/loki/api/v1/push")
        );
        assert_eq!(
            line.labels,
            pairs(&[
                ("app", "gatewayz"),
                ("environment", "local"),
                ("level", "WARN"),
                ("service", "gatewayz-api")
            ])
        );
        assert!(line.unix_nanos >= later && line.unix_nanos < later + 1_000_000);
        assert_eq!(line.text, "{\"message\":\"slow\"}");
        assert_eq!(
            line.metadata,
            pairs(&[
                ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
                ("span_id", "00f067aa0ba902b7")
            ])
        );
    }
}

#[test]
fn an_id_that_is_absent_is_left_out() {
    for wire in WIRES {
        let records =
            [(None, None), (Some(TRACE_ID), None), (None, Some(SPAN_ID))].map(|(trace_id, span_id)| {
                let mut out = Vec::new();
                record::write(*NOW, "INFO", trace_id, span_id, b"line", &mut out);
                out
            });

        let request = sent(
            wire,
            &Arc::new(Batch::from_records(records.iter().map(Vec::as_slice))),
        );

        let names: Vec<Vec<&String>> = request
            .lines
            .iter()
            .map(|line| line.metadata.keys().collect())
            .collect();
        assert_eq!(names, [vec![], vec!["trace_id"], vec!["span_id"]]);
    }
}

#[test]
fn a_poisonous_line_does_not_lose_its_neighbours() {
    let poison: &[&[u8]] = &[
        b"before",
        b"nul \0 inside",
        b"lone surrogate \xed\xa0\x80",
        b"\xff\xfe\xc0",
        br#"{"text":"\ud800"}"#,
        b"",
        b"two\nlines\r\n\n",
        "\u{7f}\u{9b}\u{2028}\u{202e}\u{10ffff}".as_bytes(),
        b"\x1b[31mred \t\x08\x0c",
        b"after",
    ];
    for wire in WIRES {
        let texts: Vec<String> = sent(wire, &batch(poison))
            .lines
            .iter()
            .map(|line| line.text.clone())
            .collect();

        let expected: Vec<_> = poison
            .iter()
            .map(|line| String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)))
            .collect();
        assert_eq!(texts, expected);
    }
}

#[test]
fn labels_are_a_closed_set_whatever_the_settings_and_the_lines_hold() {
    for wire in WIRES {
        let receiver = Receiver::start();
        let mut odd = settings(&receiver.push_url(), wire);
        odd.labels.service = "a\"b\\c\nd{e=\"f\"}ü".to_owned();
        odd.labels.app = String::new();
        odd.labels.environment = "x".repeat(5_000);
        let records = ["ERROR", "customer-42"].map(|level| {
            let mut out = Vec::new();
            record::write(*NOW, level, None, None, b"line", &mut out);
            out
        });

        let batch = Arc::new(Batch::from_records(records.iter().map(Vec::as_slice)));
        let attempt = LokiSink::new(&odd).unwrap().send(&batch, Instant::now() + ENOUGH);

        assert!(matches!(attempt, Attempt::Delivered));
        let expected = |level| {
            let environment = "x".repeat(2_048);
            pairs(&[
                ("environment", &environment),
                ("level", level),
                ("service", "a\"b\\c d{e=\"f\"}ü"),
            ])
        };
        let labels: Vec<Pairs> = receiver.lines().iter().map(|line| line.labels.clone()).collect();
        assert_eq!(labels, [expected("ERROR"), expected("INFO")]);
    }
}

#[test]
fn lines_of_many_threads_arrive_once_each_stream_in_order_of_time() {
    let receiver = Receiver::start();
    let delivery = delivery(&settings(&receiver.push_url(), Wire::Protobuf));

    std::thread::scope(|scope| {
        for thread in 0..4 {
            let queue = delivery.queue().clone();
            scope.spawn(move || {
                for n in 0..500 {
                    let level = LEVELS[n % LEVELS.len()];
                    let line = format!("{thread}-{n}");
                    queue.push(Severity::Warn, |out| {
                        record::write(*NOW, level, None, None, line.as_bytes(), out);
                    });
                }
            });
        }
    });
    let status = delivery.shutdown(Instant::now() + ENOUGH);

    let mut times = BTreeSet::new();
    let mut texts = BTreeSet::new();
    for request in receiver.requests() {
        let lines = request.lines;
        for stream in lines.chunk_by(|one, next| one.labels == next.labels) {
            assert!(stream.is_sorted_by(|one, next| one.unix_nanos < next.unix_nanos));
        }
        let streams: BTreeSet<Pairs> = lines.iter().map(|line| line.labels.clone()).collect();
        assert!(streams.len() <= LEVELS.len());
        for line in lines {
            assert!(times.insert(line.unix_nanos), "a time twice");
            assert!(texts.insert(line.text.clone()), "a line twice");
        }
    }
    assert_eq!(
        (status.created, status.delivered, texts.len()),
        (2_000, 2_000, 2_000)
    );
}

#[test]
fn every_attempt_carries_identical_bytes() {
    for wire in WIRES {
        let receiver = scripted([Answer::Status(503), Answer::Cut]);
        let delivery = delivery(&settings(&receiver.push_url(), wire));
        for n in 0..100 {
            push(&delivery, LEVELS[n % LEVELS.len()], &format!("line {n}"));
        }

        let flushed = delivery.flush(ENOUGH);

        let requests = receiver.requests();
        assert!(flushed.complete);
        assert_eq!(requests.len(), 3);
        assert!(requests.iter().all(|request| request.body == requests[0].body));
    }
}

#[test]
fn the_parts_of_a_batch_that_is_cut_in_half_carry_the_same_entries() {
    let receiver = scripted([Answer::Status(500), Answer::Status(500), Answer::Status(500)]);
    let retry = RetryPolicy {
        split_suspect_bytes: 0,
        ..RetryPolicy::default()
    };
    let delivery = delivery_with(&settings(&receiver.push_url(), Wire::Protobuf), retry);
    for n in 0..9 {
        push(&delivery, LEVELS[n % LEVELS.len()], &format!("line {n}"));
    }

    delivery.flush(ENOUGH);

    let received = receiver.requests();
    let mut whole = received[0].lines.clone();
    let mut parts = receiver.lines();
    whole.sort();
    parts.sort();
    assert_eq!((received.len(), receiver.duplicate_count()), (5, 0));
    assert_eq!(parts, whole);
}

#[test]
fn credentials_and_tenant_are_sent_as_configured() {
    let secret = || SecretString::from("s3cret");
    let basic = Credentials::Basic {
        username: "gateway".to_owned(),
        password: secret(),
    };
    for (credentials, expected) in [
        (Credentials::None, None),
        (basic, Some("Basic Z2F0ZXdheTpzM2NyZXQ=")),
        (Credentials::Bearer(secret()), Some("Bearer s3cret")),
    ] {
        let receiver = Receiver::start();
        let mut settings = settings(&receiver.push_url(), Wire::Protobuf);
        settings.credentials = credentials;
        settings.tenant = Some("team-a".to_owned());

        LokiSink::new(&settings)
            .unwrap()
            .send(&batch(&[b"line"]), Instant::now() + ENOUGH);

        let request = receiver.requests().remove(0);
        assert_eq!(request.header("authorization"), expected);
        assert_eq!(request.header("x-scope-orgid"), Some("team-a"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_bytes_are_pushed_as_the_text_they_are(
        raw in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20),
        json: bool,
    ) {
        let wire = if json { Wire::Json } else { Wire::Protobuf };
        let raw: Vec<&[u8]> = raw.iter().map(Vec::as_slice).collect();

        let texts: Vec<String> = sent(wire, &batch(&raw)).lines.iter().map(|line| line.text.clone()).collect();

        let expected: Vec<_> = raw.iter().map(|line| String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line))).collect();
        prop_assert_eq!(texts, expected);
    }
}
