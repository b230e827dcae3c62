//! What each answer of Loki leads to: attempts and accounting.

use std::time::{Duration, Instant};

use gatewayz_delivery::{Attempt, Discard, Sink};
use gatewayz_loki::{LokiSink, Wire};
use gatewayz_testkit::loki::{Answer, Receiver, RetryAfter};

use crate::{ENOUGH, batch, delivery, push, scripted, settings};

/// Two lines get `script`, then one more line gets what is left of it and 204.
#[track_caller]
fn check(script: Vec<Answer>, requests: usize, delivered: u64, discarded: Option<Discard>) {
    let what = format!("{script:?}");
    let receiver = scripted(script);
    let delivery = delivery(&settings(&receiver.push_url(), Wire::default()));
    push(&delivery, "INFO", "one");
    push(&delivery, "INFO", "two");

    delivery.flush(ENOUGH);
    let first = delivery.status();
    push(&delivery, "INFO", "next");
    delivery.flush(ENOUGH);
    let status = delivery.shutdown(Instant::now() + ENOUGH);

    assert_eq!(first.delivered, delivered, "{what}");
    let lost = discarded.map_or(0, |reason| first.discarded_for(reason));
    assert_eq!(delivered + lost, 2, "{what}");
    assert_eq!(status.delivered, delivered + 1, "the next batch after {what}");
    assert_eq!(receiver.request_count(), requests + 1, "{what}");
    assert_eq!(status.created, status.delivered + status.discarded_total());
    assert_eq!(
        first.unauthorized,
        discarded == Some(Discard::Unauthorized),
        "{what}"
    );
}

#[test]
fn every_2xx_is_delivery() {
    for code in [200, 202, 204, 206, 299] {
        check(vec![Answer::Status(code)], 1, 2, None);
    }
}

#[test]
fn what_may_pass_is_tried_again_and_given_up_at_the_limit() {
    for code in [408, 429, 500, 502, 503, 504, 507, 599] {
        check(vec![Answer::Status(code)], 2, 2, None);
        check(
            vec![Answer::Status(code), Answer::Status(code), Answer::Status(code)],
            3,
            0,
            Some(Discard::RetriesExhausted),
        );
    }
}

#[test]
fn a_refusal_is_final_and_does_not_hold_up_the_next_batch() {
    for code in [
        300, 301, 302, 303, 304, 307, 308, 400, 402, 404, 405, 415, 422, 451, 501, 505, 600, 999,
    ] {
        check(vec![Answer::Status(code)], 1, 0, Some(Discard::Rejected));
    }
}

#[test]
fn a_refusal_of_our_credentials_is_told_apart() {
    for code in [401, 403] {
        check(vec![Answer::Status(code)], 1, 0, Some(Discard::Unauthorized));
    }
}

#[test]
fn a_batch_too_large_is_cut_in_half_down_to_the_line() {
    check(vec![Answer::Status(413)], 3, 2, None);
    check(
        vec![Answer::Status(413), Answer::Status(413), Answer::Status(413)],
        3,
        0,
        Some(Discard::TooLarge),
    );
}

#[test]
fn a_connection_that_is_cut_is_tried_again() {
    check(vec![Answer::Cut], 2, 2, None);
    check(
        vec![Answer::Cut, Answer::Cut, Answer::Cut],
        3,
        0,
        Some(Discard::RetriesExhausted),
    );
}

#[test]
fn nobody_listening_is_worth_another_attempt() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{free}/loki/api/v1/push");
    let mut sink = LokiSink::new(&settings(&url, Wire::default())).unwrap();

    let attempt = sink.send(&batch(&[b"line"]), Instant::now() + ENOUGH);

    let Attempt::Retry { after: None, failure } = attempt else {
        panic!("{attempt:?}")
    };
    assert_eq!(failure.status, "connect");
    assert!(failure.message.contains("refused"), "{}", failure.message);
}

#[test]
fn a_wait_that_loki_asks_for_is_passed_on() {
    let receiver = scripted([Answer::StatusWithRetry(429, RetryAfter::Seconds(7))]);
    let mut sink = LokiSink::new(&settings(&receiver.push_url(), Wire::default())).unwrap();

    let attempt = sink.send(&batch(&[b"line"]), Instant::now() + ENOUGH);

    let Attempt::Retry { after, failure } = attempt else {
        panic!("{attempt:?}")
    };
    assert_eq!(after, Some(Duration::from_secs(7)));
    assert_eq!(failure.status, "429");
}

#[test]
fn a_refusal_says_why_without_the_line() {
    let body =
        b"entry for stream '{app=\"gatewayz\"}' has timestamp too old: my private line\x1b[2J".to_vec();
    let receiver = scripted([Answer::StatusWithBody(400, body)]);
    let mut sink = LokiSink::new(&settings(&receiver.push_url(), Wire::default())).unwrap();

    let attempt = sink.send(&batch(&[b"my private line"]), Instant::now() + ENOUGH);

    let Attempt::Rejected(failure) = attempt else {
        panic!("{attempt:?}")
    };
    assert_eq!(failure.message, "Loki answered 400: entry for stream '");
}

#[test]
fn pushes_share_one_connection() {
    let receiver = Receiver::start();
    let mut sink = LokiSink::new(&settings(&receiver.push_url(), Wire::default())).unwrap();

    for _ in 0..5 {
        sink.send(&batch(&[b"line"]), Instant::now() + ENOUGH);
    }

    assert_eq!((receiver.request_count(), receiver.connections()), (5, 1));
}

#[test]
fn a_connection_closed_between_two_pushes_costs_no_attempt() {
    let receiver = scripted(vec![Answer::OkThenClose; 20]);
    let mut sink = LokiSink::new(&settings(&receiver.push_url(), Wire::default())).unwrap();

    for closed in 1..=20 {
        let attempt = sink.send(&batch(&[b"line"]), Instant::now() + ENOUGH);
        assert!(matches!(attempt, Attempt::Delivered), "{attempt:?}");
        assert!(receiver.wait_for_closed(closed, ENOUGH));
    }

    assert_eq!(receiver.request_count(), 20);
}
