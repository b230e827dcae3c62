//! The specification's tables: which answers are worth another attempt.

use std::time::{Duration, Instant};

use gatewayz_delivery::Discard;
use gatewayz_testkit::otlp::{Answer, Receiver};
use gatewayz_tracing::otlp::Protocol;

use crate::{ENOUGH, delivery, eager, push, settings_for};

const OK: u16 = 0;
const RESOURCE_EXHAUSTED: u16 = 8;

/// What becomes of two spans whose receiver gives the same answer each time.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// Sent until the attempts are used up.
    Retried,
    /// Sent once.
    Final(Discard),
    /// Sent once, then each half once.
    Split,
}

fn grpc(code: u16, retry_info: bool) -> Fate {
    match code {
        // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS.
        1 | 4 | 10 | 11 | 14 | 15 => Fate::Retried,
        RESOURCE_EXHAUSTED if retry_info => Fate::Retried,
        // PERMISSION_DENIED, UNAUTHENTICATED.
        7 | 16 => Fate::Final(Discard::Unauthorized),
        _ => Fate::Final(Discard::Rejected),
    }
}

fn http(status: u16) -> Fate {
    match status {
        429 | 502 | 503 | 504 => Fate::Retried,
        413 => Fate::Split,
        401 | 403 => Fate::Final(Discard::Unauthorized),
        _ => Fate::Final(Discard::Rejected),
    }
}

#[track_caller]
fn check(protocol: Protocol, answer: &Answer, fate: Fate) {
    let what = format!("{answer:?} over {}", protocol.as_str());
    let (requests, reason) = match fate {
        Fate::Retried => (3, Discard::RetriesExhausted),
        Fate::Final(reason) => (1, reason),
        Fate::Split => (3, Discard::TooLarge),
    };
    let receiver = Receiver::start();
    receiver.answer_next(vec![answer.clone(); requests]);
    let delivery = delivery(&settings_for(protocol, &receiver), eager());
    push(&delivery, "one");
    push(&delivery, "two");

    delivery.flush(ENOUGH);
    let first = delivery.status();
    push(&delivery, "next");
    delivery.flush(ENOUGH);
    let last = delivery.shutdown(Instant::now() + ENOUGH);

    assert_eq!(first.discarded_for(reason), 2, "{what}: {first:?}");
    assert_eq!(first.retries, if fate == Fate::Retried { 2 } else { 0 }, "{what}");
    assert_eq!(first.unauthorized, reason == Discard::Unauthorized, "{what}");
    assert!(first.last_error.is_some(), "{what}");
    assert_eq!(receiver.requests(), requests + 1, "{what}");
    assert_eq!(
        (last.created, last.delivered),
        (3, 1),
        "the next batch after {what}"
    );
    assert_eq!(last.created, last.delivered + last.discarded_total(), "{what}");
    assert_eq!(receiver.span_count(), 1, "{what}");
}

#[track_caller]
fn check_one_failure(protocol: Protocol, answer: &Answer) {
    let receiver = Receiver::start();
    receiver.answer_next(vec![answer.clone()]);
    let delivery = delivery(&settings_for(protocol, &receiver), eager());
    push(&delivery, "one");
    push(&delivery, "two");

    let status = delivery.shutdown(Instant::now() + ENOUGH);

    assert_eq!((status.created, status.delivered), (2, 2), "{answer:?}");
    assert_eq!((status.retries, receiver.requests()), (1, 2), "{answer:?}");
    let log = receiver.request_log();
    assert_eq!(log[0].body, log[1].body, "the bytes of the second attempt");
}

fn statuses() -> impl Iterator<Item = u16> {
    (400..=431).chain([499]).chain(500..=511)
}

#[test]
fn each_grpc_code_is_final_or_retried_as_the_specification_says() {
    for code in OK + 1..=16 {
        check(Protocol::Grpc, &Answer::Status(code), grpc(code, false));
        let with_retry_info = Answer::StatusWithRetry(code, Duration::ZERO);
        check(Protocol::Grpc, &with_retry_info, grpc(code, true));
    }
}

#[test]
fn each_http_status_is_final_or_retried_as_the_specification_says() {
    for status in statuses() {
        check(Protocol::HttpProtobuf, &Answer::Status(status), http(status));
        let with_retry_after = Answer::StatusWithRetry(status, Duration::ZERO);
        check(Protocol::HttpProtobuf, &with_retry_after, http(status));
    }
}

#[test]
fn what_passes_at_the_second_attempt_is_delivered_once_with_the_same_bytes() {
    for code in OK + 1..=16 {
        if grpc(code, true) == Fate::Retried {
            check_one_failure(Protocol::Grpc, &Answer::StatusWithRetry(code, Duration::ZERO));
        }
    }
    for status in statuses().filter(|status| http(*status) == Fate::Retried) {
        check_one_failure(Protocol::HttpProtobuf, &Answer::Status(status));
    }
}

#[test]
fn every_2xx_is_delivery() {
    for status in [200, 202, 204, 206, 299] {
        let receiver = Receiver::start();
        receiver.answer_next(vec![Answer::Status(status)]);
        let delivery = delivery(&settings_for(Protocol::HttpProtobuf, &receiver), eager());
        push(&delivery, "one");

        let ended = delivery.shutdown(Instant::now() + ENOUGH);

        assert_eq!((ended.delivered, receiver.requests()), (1, 1), "{status}");
    }
}
