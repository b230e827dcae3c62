//! The receiver of spans hangs, refuses, is away, is slow, or asks to wait.

use std::time::Duration;

use gatewayz_testkit::otlp::{Answer, Receiver};
use gatewayz_testkit::process::Output;
use gatewayz_testkit::proxy::{Fault, Proxy};

use super::books::{Books, lost};
use super::load::counted_requests;
use super::{assert_memory_bounded, spawn};
use crate::harness::{Api, DEADLINE, wait_for};

const QUEUE_BYTES: u64 = 16 << 20;
const UNAVAILABLE: u16 = 14;

#[derive(Debug, Clone, Copy)]
enum Protocol {
    Grpc,
    Http,
}

/// The service with one worker, so that nothing but its own delivery thread can carry the export.
struct Exporting {
    receiver: Receiver,
    proxy: Proxy,
    api: Api,
}

impl Exporting {
    #[track_caller]
    fn start(protocol: Protocol, environment: &[(&str, &str)]) -> Self {
        let receiver = Receiver::start();
        let (variable, target) = match protocol {
            Protocol::Grpc => ("TEMPO_OTLP_GRPC_ENDPOINT", receiver.grpc_address()),
            Protocol::Http => ("TEMPO_OTLP_HTTP_ENDPOINT", receiver.http_address()),
        };
        let proxy = Proxy::start(target);
        let endpoint = format!("http://{}", proxy.address());
        let defaults = [
            (variable, endpoint.as_str()),
            ("WORKERS", "1"),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "500"),
        ];
        let environment: Vec<_> = defaults.iter().chain(environment).copied().collect();
        let api = spawn(Output::Read, &environment);
        Self { receiver, proxy, api }
    }

    #[track_caller]
    fn settled(&self) -> Books {
        Books::settled(|| Books::of_spans(&self.api))
    }

    #[track_caller]
    fn wait_for_retries(&self) {
        let labels = [("exporter", "otlp")];
        let retried = || self.api.scrape().sum("telemetry_exporter_retries_total", &labels) > 0.0;
        assert_eq!(wait_for(DEADLINE, || retried().then_some(())), Some(()));
    }
}

/// A fault that passes costs nothing: neither a request, nor memory beyond the bound, nor a span.
#[track_caller]
fn check_outage(protocol: Protocol, begin: impl Fn(&Exporting), end: impl Fn(&Exporting)) -> Exporting {
    let exporting = Exporting::start(protocol, &[]);
    let api = &exporting.api;
    counted_requests(api, 100, "/api/users/1", 200);
    exporting.settled();
    let memory = api.service.memory_bytes().unwrap();

    begin(&exporting);
    counted_requests(api, 3_000, "/api/users/1", 200);
    exporting.wait_for_retries();
    assert_memory_bounded(&api.service, memory, QUEUE_BYTES);
    end(&exporting);

    let books = exporting.settled();
    assert_eq!(books.discarded(), 0.0, "{books:?}");
    assert_eq!(
        exporting.receiver.unique_span_count() as f64,
        books.delivered,
        "{books:?}"
    );
    exporting
}

#[track_caller]
fn check_both(begin: impl Fn(&Exporting) + Copy, end: impl Fn(&Exporting) + Copy) {
    check_outage(Protocol::Grpc, begin, end);
    check_outage(Protocol::Http, begin, end);
}

#[test]
fn a_collector_that_never_answers_costs_nothing_even_with_one_worker() {
    check_both(
        |exporting| exporting.receiver.answer_always(Answer::Hang),
        |exporting| exporting.receiver.answer_normally(),
    );
}

#[test]
fn a_network_that_swallows_everything_costs_nothing() {
    check_both(
        |exporting| exporting.proxy.set(Fault::Hang),
        |exporting| exporting.proxy.set(Fault::Pass),
    );
}

#[test]
fn a_collector_that_is_not_there_costs_nothing() {
    check_both(
        |exporting| exporting.proxy.set(Fault::Refuse),
        |exporting| exporting.proxy.set(Fault::Pass),
    );
}

#[test]
fn connections_that_are_reset_cost_nothing() {
    check_both(
        |exporting| exporting.proxy.set(Fault::Reset),
        |exporting| exporting.proxy.set(Fault::Pass),
    );
}

#[test]
fn a_temporary_refusal_costs_nothing() {
    let refuse =
        |status: u16| move |exporting: &Exporting| exporting.receiver.answer_always(Answer::Status(status));
    let accept = |exporting: &Exporting| exporting.receiver.answer_normally();
    check_outage(Protocol::Grpc, refuse(UNAVAILABLE), accept);
    check_outage(Protocol::Http, refuse(503), accept);
}

#[test]
fn a_receiver_of_a_tenth_of_a_second_a_batch_loses_nothing() {
    let exporting = Exporting::start(Protocol::Grpc, &[]);
    exporting
        .receiver
        .answer_always(Answer::Delay(Duration::from_millis(100)));

    counted_requests(&exporting.api, 5_000, "/api/users/1", 200);

    let books = exporting.settled();
    assert_eq!((books.discarded(), books.delivered), (0.0, 5_000.0));
    assert_eq!(exporting.receiver.unique_span_count(), 5_000);
}

#[test]
fn spans_that_a_receiver_rejects_in_part_are_counted_once() {
    let exporting = Exporting::start(Protocol::Grpc, &[("OTEL_BSP_SCHEDULE_DELAY", "60000")]);
    let refusal = Answer::PartialSuccess {
        rejected: 7,
        message: "7 are too old".to_owned(),
    };
    exporting.receiver.answer_next(vec![refusal]);

    counted_requests(&exporting.api, 100, "/api/users/1", 200);
    let tested = exporting.api.request("POST", "/api/metrics/test", &[], b"");

    assert!(tested.text().contains("partial_success"), "{}", tested.text());
    assert_eq!(
        lost(&exporting.api, "otlp", "send_failed", "partial_success"),
        7.0
    );
}

#[test]
fn a_refusal_of_our_credentials_is_told_as_such() {
    let exporting = Exporting::start(Protocol::Http, &[]);
    exporting.receiver.answer_always(Answer::Status(401));

    counted_requests(&exporting.api, 10, "/api/users/1", 200);

    let books = exporting.settled();
    assert_eq!(
        lost(&exporting.api, "otlp", "send_failed", "unauthorized"),
        books.created,
        "{books:?}"
    );
    let health = exporting.api.get("/api/instrumentation/health").text();
    assert!(health.contains("degraded: auth"), "{health}");
}
