//! What an operator is told, and what never.

use std::time::Instant;

use gatewayz_delivery::{Attempt, Discard};
use gatewayz_testkit::otlp::{Answer, Receiver};
use gatewayz_tracing::otlp::{BuildError, OtlpSink, Protocol};

use crate::{BOTH, ENOUGH, delivery, eager, push, send, settings, settings_for};

const SECRET: &str = "canary-7f3a";

fn partial(rejected: u32, message: &str) -> Answer {
    Answer::PartialSuccess {
        rejected,
        message: message.to_owned(),
    }
}

#[test]
fn spans_that_a_success_leaves_out_are_counted_once_with_the_reason() {
    for protocol in BOTH {
        let receiver = Receiver::start();
        receiver.answer_next(vec![partial(1, "too old")]);
        let delivery = delivery(&settings_for(protocol, &receiver), eager());
        for name in ["one", "two", "three"] {
            push(&delivery, name);
        }

        let status = delivery.shutdown(Instant::now() + ENOUGH);

        assert_eq!((status.created, status.delivered), (3, 2), "{protocol:?}");
        assert_eq!(status.discarded_for(Discard::PartialSuccess), 1);
        assert_eq!(status.discarded_total(), 1);
        assert_eq!(receiver.requests(), 1);
        let told = status.last_error.unwrap().message;
        assert_eq!(told, "the receiver answered partial_success: too old");
    }
}

#[test]
fn more_refused_spans_than_were_sent_are_as_many_as_were_sent() {
    for protocol in BOTH {
        let receiver = Receiver::start();
        receiver.answer_next(vec![partial(u32::MAX, "")]);
        let delivery = delivery(&settings_for(protocol, &receiver), eager());
        push(&delivery, "one");

        let status = delivery.shutdown(Instant::now() + ENOUGH);

        assert_eq!(status.discarded_for(Discard::PartialSuccess), 1);
        assert_eq!((status.created, status.delivered), (1, 0));
    }
}

#[test]
fn a_success_with_a_warning_is_a_success() {
    for protocol in BOTH {
        let receiver = Receiver::start();
        receiver.answer_next(vec![partial(0, "use a newer version")]);
        let delivery = delivery(&settings_for(protocol, &receiver), eager());
        push(&delivery, "one");

        let status = delivery.shutdown(Instant::now() + ENOUGH);

        assert_eq!((status.delivered, status.discarded_total()), (1, 0));
        assert!(status.last_error.is_none(), "{status:?}");
    }
}

#[test]
fn a_text_that_repeats_a_header_is_not_told() {
    for protocol in BOTH {
        let receiver = Receiver::start();
        let told_back = format!("no project for {SECRET}\u{1b}[2J");
        receiver.answer_next(vec![
            partial(1, &told_back),
            partial(1, "name \"GET /private\" is bad"),
        ]);
        let mut settings = settings_for(protocol, &receiver);
        settings.headers = vec![("Authorization".to_owned(), format!("Bearer {SECRET}").into())];
        let mut sink = OtlpSink::new(&settings).unwrap();

        let [secret, echo] = [send(&mut sink), send(&mut sink)].map(|attempt| match attempt {
            Attempt::PartlyRejected { failure, .. } => failure.message,
            attempt => panic!("{attempt:?}"),
        });

        assert_eq!(secret, "the receiver answered partial_success");
        assert_eq!(echo, "the receiver answered partial_success: name");
        let sent = receiver.request_log().remove(0).headers;
        let authorization = sent.iter().find(|(name, _)| name == "authorization");
        assert_eq!(authorization.unwrap().1, format!("Bearer {SECRET}"));
    }
}

#[test]
fn secrets_are_in_no_debug_text_and_no_error() {
    for protocol in BOTH {
        let mut settings = settings(
            protocol,
            &format!("http://user:{SECRET}@127.0.0.1:1/v1/traces?token={SECRET}"),
        );
        settings.headers = vec![("authorization".to_owned(), SECRET.into())];
        let mut sink = OtlpSink::new(&settings).unwrap();

        let told = format!("{settings:?} {sink:?} {:?}", send(&mut sink));
        settings.headers = vec![("authorization".to_owned(), format!("{SECRET}\n").into())];
        let refused: BuildError = OtlpSink::new(&settings).unwrap_err();

        assert!(!told.contains(SECRET), "{told}");
        assert!(!format!("{refused:?} {refused}").contains(SECRET));
        assert_eq!(refused.to_string(), "read OTLP header authorization");
    }
}

#[test]
fn nobody_listening_is_told_as_such_and_worth_another_attempt() {
    for protocol in BOTH {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let endpoint = format!("http://{}/v1/traces", free.unwrap());
        let mut sink = OtlpSink::new(&settings(protocol, &endpoint)).unwrap();

        let attempt = send(&mut sink);

        let Attempt::Retry { after: None, failure } = attempt else {
            panic!("{attempt:?}")
        };
        assert_eq!(failure.status, "connect", "{protocol:?}");
        assert!(failure.message.contains("refused"), "{}", failure.message);
    }
}

#[test]
fn a_refusal_tells_code_and_text_over_grpc_and_the_status_over_http() {
    let cases = [
        (
            Protocol::Grpc,
            3,
            "the receiver answered INVALID_ARGUMENT: scripted",
        ),
        (Protocol::HttpProtobuf, 400, "the receiver answered 400"),
    ];
    for (protocol, code, expected) in cases {
        let receiver = Receiver::start();
        receiver.answer_next(vec![Answer::Status(code)]);
        let mut sink = OtlpSink::new(&settings_for(protocol, &receiver)).unwrap();

        let attempt = send(&mut sink);

        assert!(
            matches!(&attempt, Attempt::Rejected(failure) if failure.message == expected),
            "{attempt:?}"
        );
    }
}
