//! A receiver that means harm, and settings that hold secrets.

use std::time::{Duration, Instant};

use gatewayz_delivery::{Attempt, Sink};
use gatewayz_loki::{BuildError, Credentials, LokiSink, Wire};
use gatewayz_testkit::loki::{Answer, Receiver};
use secrecy::SecretString;

use crate::{ENOUGH, batch, delivery, push, scripted, settings};

const SECRET: &str = "canary-7f3a";
/// `gateway:canary-7f3a` as basic authentication sends it.
const SENT_SECRET: &str = "Z2F0ZXdheTpjYW5hcnktN2YzYQ==";

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::start();
    for code in [301, 302, 303, 307, 308] {
        let location = ("Location".to_owned(), elsewhere.push_url());
        let receiver = scripted([Answer::StatusWithHeaders(code, vec![location])]);
        let mut sink = LokiSink::new(&settings(&receiver.push_url(), Wire::default())).unwrap();

        let attempt = sink.send(&batch(&[b"line"]), Instant::now() + ENOUGH);

        assert!(matches!(attempt, Attempt::Rejected(_)), "{attempt:?}");
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn an_endless_answer_is_cut() {
    for (code, delivered) in [(200, true), (400, false)] {
        let receiver = scripted([Answer::EndlessBody(code)]);
        let mut sink = LokiSink::new(&settings(&receiver.push_url(), Wire::default())).unwrap();

        let attempt = sink.send(&batch(&[b"line"]), Instant::now() + ENOUGH);

        assert_eq!(matches!(attempt, Attempt::Delivered), delivered, "{attempt:?}");
        assert!(receiver.wait_for_closed(1, ENOUGH));
        // What the sockets' buffers hold, not what the receiver has.
        assert!(receiver.bytes_answered() < 64 << 20);
    }
}

#[test]
fn a_status_counts_though_its_text_never_ends() {
    let receiver = scripted([
        Answer::StuckBody(200),
        Answer::StuckBody(400),
        Answer::StuckBody(503),
    ]);
    let mut sink = LokiSink::new(&settings(&receiver.push_url(), Wire::default())).unwrap();
    let mut send = || sink.send(&batch(&[b"line"]), Instant::now() + ENOUGH);

    let attempts = [send(), send(), send()];

    let [
        Attempt::Delivered,
        Attempt::Rejected(refused),
        Attempt::Retry { .. },
    ] = &attempts
    else {
        panic!("{attempts:?}")
    };
    assert_eq!(refused.message, "Loki answered 400: started");
}

#[test]
fn a_receiver_that_never_answers_is_left_at_the_deadline() {
    let receiver = scripted([Answer::Hang]);
    let mut sink = LokiSink::new(&settings(&receiver.push_url(), Wire::default())).unwrap();

    let attempt = sink.send(&batch(&[b"line"]), Instant::now() + Duration::from_millis(50));

    let Attempt::Retry { after: None, failure } = attempt else {
        panic!("{attempt:?}")
    };
    assert_eq!(failure.status, "timeout");
    assert!(receiver.wait_for_closed(1, ENOUGH));
}

#[test]
fn secrets_are_in_no_debug_text_and_no_message() {
    let echo = |text: &str| Answer::StatusWithBody(400, format!("you sent {text}").into_bytes());
    let basic = Credentials::Basic {
        username: "gateway".to_owned(),
        password: SecretString::from(SECRET),
    };
    for credentials in [basic, Credentials::Bearer(SecretString::from(SECRET))] {
        let receiver = scripted([echo(SECRET), echo(SENT_SECRET), Answer::Cut]);
        let mut settings = settings(
            &format!("{}?token={SECRET}", receiver.push_url()),
            Wire::default(),
        );
        settings.credentials = credentials;
        let mut told = vec![
            format!("{settings:?}"),
            format!("{:?}", LokiSink::new(&settings).unwrap()),
        ];

        let delivery = delivery(&settings);
        for _ in 0..2 {
            push(&delivery, "INFO", "line");
            delivery.flush(ENOUGH);
            told.push(delivery.status().last_error.unwrap().message);
        }
        settings.push_url.set_port(Some(1)).unwrap();
        let refused = LokiSink::new(&settings)
            .unwrap()
            .send(&batch(&[b"line"]), Instant::now() + ENOUGH);
        told.push(format!("{refused:?}"));

        let basic = matches!(settings.credentials, Credentials::Basic { .. });
        for text in told {
            assert!(!text.contains(SECRET), "{text}");
            assert!(!(basic && text.contains(SENT_SECRET)), "{text}");
        }
    }
}

#[test]
fn settings_that_cannot_be_sent_are_refused_without_their_values() {
    let good = || settings("https://loki.example/loki/api/v1/push", Wire::default());
    let check = |change: &dyn Fn(&mut gatewayz_loki::LokiSettings), expected: &str| {
        let mut settings = good();
        change(&mut settings);
        let error: BuildError = LokiSink::new(&settings).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!format!("{error:?}{error}").contains(SECRET));
    };

    assert!(LokiSink::new(&good()).is_ok());
    check(
        &|settings| settings.push_url = "ftp://host/x".parse().unwrap(),
        "push URL",
    );
    check(
        &|settings| settings.push_url = "unix:/socket".parse().unwrap(),
        "push URL",
    );
    check(
        &|settings| settings.push_url = format!("http://u:{SECRET}@host/").parse().unwrap(),
        "own settings",
    );
    check(
        &|settings| settings.credentials = Credentials::Bearer(format!("{SECRET}\n").into()),
        "credentials",
    );
    check(
        &|settings| {
            settings.credentials = Credentials::Basic {
                username: "a:b".to_owned(),
                password: SECRET.into(),
            };
        },
        "credentials",
    );
    check(&|settings| settings.tenant = Some("a\r\nb".to_owned()), "tenant");
}
