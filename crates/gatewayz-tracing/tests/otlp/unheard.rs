//! Successes that the sender does not hear of: at least once means a second time then, and not a third.

use std::time::{Duration, Instant};

use gatewayz_delivery::RetryPolicy;
use gatewayz_testkit::otlp::{Answer, Receiver};

use crate::{BOTH, ENOUGH, delivery, eager, push, settings_for};

#[test]
fn spans_whose_success_is_not_heard_are_sent_once_more() {
    for protocol in BOTH {
        for answer in [Answer::StoreThenCut, Answer::StoreThenHang] {
            let receiver = Receiver::start();
            receiver.answer_next(vec![answer.clone()]);
            let retry = RetryPolicy {
                attempt_timeout: Duration::from_secs(2),
                ..eager()
            };
            let delivery = delivery(&settings_for(protocol, &receiver), retry);
            push(&delivery, "one");
            delivery.flush(ENOUGH);

            let status = delivery.shutdown(Instant::now() + ENOUGH);

            assert_eq!(
                (status.created, status.delivered),
                (1, 1),
                "{protocol:?} {answer:?}"
            );
            assert_eq!(
                (status.retries, receiver.requests()),
                (1, 2),
                "{protocol:?} {answer:?}"
            );
            assert_eq!(receiver.span_count(), 2);
            let log = receiver.request_log();
            assert_eq!(log[0].body, log[1].body);
        }
    }
}

#[test]
fn a_success_whose_body_does_not_come_whole_is_heard_over_http() {
    for answer in [
        Answer::StuckBody(200),
        Answer::Drip(200),
        Answer::GzipBomb(200),
        Answer::EndlessBody(200),
    ] {
        let receiver = Receiver::start();
        receiver.answer_next(vec![answer.clone()]);
        let delivery = delivery(&settings_for(BOTH[1], &receiver), eager());
        push(&delivery, "one");

        let status = delivery.shutdown(Instant::now() + ENOUGH);

        assert_eq!((status.delivered, status.retries), (1, 0), "{answer:?}");
        assert_eq!((receiver.requests(), receiver.span_count()), (1, 1), "{answer:?}");
    }
}
