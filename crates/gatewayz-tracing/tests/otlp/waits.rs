//! How long a receiver can make the next attempt wait.

use std::time::{Duration, Instant};

use gatewayz_delivery::{Attempt, RetryPolicy};
use gatewayz_testkit::otlp::{Answer, Receiver};
use gatewayz_tracing::otlp::{OtlpSink, Protocol};

use crate::{BOTH, ENOUGH, delivery, eager, push, send, settings_for};

fn unavailable(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::Grpc => 14,
        Protocol::HttpProtobuf => 503,
    }
}

/// The time between the first attempt, which is told to wait for `asked`, and the second.
fn pause(protocol: Protocol, asked: Duration, retry: RetryPolicy) -> Duration {
    let receiver = Receiver::start();
    receiver.answer_next(vec![Answer::StatusWithRetry(unavailable(protocol), asked)]);
    let delivery = delivery(&settings_for(protocol, &receiver), retry);
    push(&delivery, "one");
    delivery.flush(ENOUGH);

    let status = delivery.shutdown(Instant::now() + ENOUGH);

    assert_eq!((status.delivered, status.retries), (1, 1));
    let log = receiver.request_log();
    log[1].received_at - log[0].received_at
}

#[test]
fn a_wait_that_the_receiver_asks_for_is_kept() {
    for protocol in BOTH {
        let asked = Duration::from_secs(1);
        let paused = pause(protocol, asked, eager());
        assert!(paused >= asked, "{protocol:?}: {paused:?}");
    }
}

#[test]
fn a_wait_is_cut_to_the_policys_longest() {
    for protocol in BOTH {
        let longest = Duration::from_millis(200);
        let retry = RetryPolicy {
            retry_after_max: longest,
            ..eager()
        };
        let paused = pause(protocol, Duration::from_secs(3600), retry);
        assert!(paused >= longest && paused < ENOUGH, "{protocol:?}: {paused:?}");
    }
}

#[test]
fn a_wait_as_long_as_the_window_costs_nothing() {
    for protocol in BOTH {
        let asked = Duration::from_secs(1);
        let retry = RetryPolicy {
            max_elapsed: asked,
            ..eager()
        };
        let paused = pause(protocol, asked, retry);
        assert!(paused >= asked, "{protocol:?}: {paused:?}");
    }
}

#[test]
fn a_wait_holds_for_the_batches_behind_as_well() {
    for protocol in BOTH {
        let receiver = Receiver::start();
        let asked = Duration::from_secs(1);
        receiver.answer_next(vec![Answer::StatusWithRetry(unavailable(protocol), asked)]);
        let retry = RetryPolicy {
            max_attempts: 1,
            ..eager()
        };
        let delivery = delivery(&settings_for(protocol, &receiver), retry);
        push(&delivery, "given up");
        delivery.flush(ENOUGH);
        push(&delivery, "next");
        delivery.flush(ENOUGH);

        let status = delivery.shutdown(Instant::now() + ENOUGH);

        assert_eq!((status.delivered, status.discarded_total()), (1, 1), "{status:?}");
        let log = receiver.request_log();
        let paused = log[1].received_at - log[0].received_at;
        assert!(paused >= asked, "{protocol:?}: {paused:?}");
    }
}

#[test]
fn a_wait_is_passed_on_as_asked() {
    for protocol in BOTH {
        let receiver = Receiver::start();
        let asked = Duration::from_secs(7);
        receiver.answer_next(vec![Answer::StatusWithRetry(unavailable(protocol), asked)]);
        let mut sink = OtlpSink::new(&settings_for(protocol, &receiver)).unwrap();

        let attempt = send(&mut sink);

        assert!(
            matches!(attempt, Attempt::Retry { after, .. } if after == Some(asked)),
            "{attempt:?}"
        );
    }
}
