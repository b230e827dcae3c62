//! The provider that fails on command, in the eyes of a raw client.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use gatewayz_testkit::http::{Client, ClientError};
use gatewayz_testkit::provider::{FaultyProvider, Script, Step};

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

fn address(provider: &FaultyProvider) -> SocketAddr {
    let base_url = provider.base_url();
    let address = base_url.strip_prefix("http://").unwrap();
    address.strip_suffix("/v1").unwrap().parse().unwrap()
}

#[track_caller]
fn connected(provider: &FaultyProvider) -> Client {
    Client::connect(address(provider)).unwrap()
}

/// Sends a request and leaves its answer on the connection.
#[track_caller]
fn asked(provider: &FaultyProvider) -> Client {
    let mut client = connected(provider);
    client
        .send(b"POST /v1/x HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
        .unwrap();
    client
}

#[test]
fn each_request_gets_its_script_and_later_ones_what_holds_otherwise() {
    let provider = FaultyProvider::start();
    let mut client = connected(&provider);
    let mut post = || client.post("/v1/x", &JSON, b"{}").unwrap();

    let unscripted = post();
    provider.next(Script::json(200, "first"));
    provider.next(Script::whole(429, &[("retry-after", "7")], "second"));
    provider.otherwise(Script::stream(&["data: a\n\n", "data: b\n\n"]));
    let answers = [post(), post(), post(), post()];

    assert_eq!(unscripted.status, 500);
    let said: Vec<_> = answers
        .iter()
        .map(|answer| (answer.status, answer.text()))
        .collect();
    let stream = || (200, "data: a\n\ndata: b\n\n".to_owned());
    let expected = [
        (200, "first".to_owned()),
        (429, "second".to_owned()),
        stream(),
        stream(),
    ];
    assert_eq!(said, expected);
    assert_eq!(answers[1].header("retry-after"), Some("7"));
    assert_eq!(answers[2].header("content-type"), Some("text/event-stream"));
    provider.wait_for("five whole answers", |seen| {
        (seen.completed == 5 && seen.connections == 1).then_some(())
    });
}

#[test]
fn requests_are_kept_as_they_came() {
    let provider = FaultyProvider::always(Script::json(200, "{}"));

    connected(&provider)
        .post("/v1/a?b=c", &JSON, "ü".as_bytes())
        .unwrap();

    let [request] = provider.requests().try_into().unwrap();
    assert_eq!(request.target, "POST /v1/a?b=c");
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.text(), "ü");
}

#[test]
fn a_caller_that_leaves_an_open_answer_is_seen_at_once() {
    let unfinished = [
        Script::of([Step::Hang]),
        Script::of([Step::Pause(Duration::from_secs(60))]),
        Script::open_stream(&["data: a\n\n"]).then(Step::Hang),
        Script::open_stream(&[]).then(Step::Forever(b"x".to_vec(), Duration::from_millis(5))),
    ];
    for script in unfinished {
        let provider = FaultyProvider::always(script);
        let client = asked(&provider);
        provider.wait_for("the request", |seen| seen.requests.first().cloned());

        drop(client);

        provider.wait_for("the caller is gone", |seen| seen.abandoned.first().copied());
        provider.wait_for("nothing is complete", |seen| (seen.completed == 0).then_some(()));
    }
}

#[test]
fn a_connection_is_closed_or_reset_in_the_middle_of_an_answer() {
    for (step, is_reset) in [(Step::Close, false), (Step::Reset, true)] {
        let provider = FaultyProvider::always(Script::of([step]));

        let broken = asked(&provider).read_answer();

        let Err(ClientError::Connection(error)) = broken else {
            panic!("{broken:?}");
        };
        assert_eq!(error.kind() == ErrorKind::ConnectionReset, is_reset, "{error}");
    }
}

#[test]
fn dropping_it_closes_the_port_and_every_connection() {
    let provider = FaultyProvider::always(Script::of([Step::Hang]));
    let address = address(&provider);
    let mut waiting = asked(&provider);
    provider.wait_for("the request", |seen| seen.requests.first().cloned());
    let mut idle = connected(&provider);
    provider.wait_for("both connections", |seen| (seen.connections == 2).then_some(()));

    drop(provider);

    assert!(waiting.is_closed_by_server());
    assert!(idle.is_closed_by_server());
    assert!(TcpStream::connect(address).is_err());
}
