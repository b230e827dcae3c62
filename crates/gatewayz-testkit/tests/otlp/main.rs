//! The OTLP receiver, fed by real clients over both transports.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use gatewayz_testkit::http::{self, Client};
use gatewayz_testkit::otlp::{Answer, Receiver, SpanKind, StatusCode, Transport};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use tonic::codec::CompressionEncoding;

const TIMEOUT: Duration = Duration::from_secs(10);
const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn export(span_count: u8) -> ExportTraceServiceRequest {
    let spans = (1..=span_count).map(|number| Span {
        trace_id: vec![number; 16],
        span_id: vec![number; 8],
        name: "GET /api/users/{id}".to_owned(),
        kind: SpanKind::Server.into(),
        attributes: vec![
            attribute("http.route", Value::StringValue("/api/users/{id}".to_owned())),
            attribute("http.response.status_code", Value::IntValue(200)),
        ],
        status: Some(Status {
            code: StatusCode::Error.into(),
            message: String::new(),
        }),
        ..Span::default()
    });
    let resource = Resource {
        attributes: vec![attribute(
            "service.name",
            Value::StringValue("gatewayz-api".to_owned()),
        )],
        ..Resource::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans {
                spans: spans.collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

fn address(endpoint: &str) -> SocketAddr {
    endpoint.strip_prefix("http://").unwrap().parse().unwrap()
}

fn post(receiver: &Receiver, span_count: u8) -> http::Answer {
    let mut client = Client::connect(address(&receiver.http_endpoint())).unwrap();
    client
        .post("/v1/traces", &[PROTOBUF], &export(span_count).encode_to_vec())
        .unwrap()
}

#[tokio::test]
async fn a_span_sent_over_grpc_is_kept_with_its_resource() {
    let receiver = Receiver::start();
    let mut client = TraceServiceClient::connect(receiver.grpc_endpoint())
        .await
        .unwrap();

    client.export(export(1)).await.unwrap();

    let spans = receiver.spans();
    let span = spans.first().unwrap();
    assert_eq!(span.string("http.route"), Some("/api/users/{id}"));
    assert_eq!(span.int("http.response.status_code"), Some(200));
    assert_eq!(span.resource_string("service.name"), Some("gatewayz-api"));
    assert_eq!(
        (span.kind, span.status, span.parent_span_id),
        (SpanKind::Server, StatusCode::Error, None)
    );
    assert_eq!(span.trace_id_hex(), "01".repeat(16));
}

#[tokio::test]
async fn a_compressed_grpc_message_is_understood() {
    let receiver = Receiver::start();
    let client = TraceServiceClient::connect(receiver.grpc_endpoint())
        .await
        .unwrap();

    client
        .send_compressed(CompressionEncoding::Gzip)
        .export(export(3))
        .await
        .unwrap();

    assert_eq!(receiver.span_count(), 3);
}

#[test]
fn a_span_sent_over_http_is_kept_and_answered_in_protobuf() {
    let receiver = Receiver::start();

    let answer = post(&receiver, 2);

    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("application/x-protobuf"))
    );
    assert_eq!(
        ExportTraceServiceResponse::decode(&*answer.body),
        Ok(ExportTraceServiceResponse::default())
    );
    assert_eq!(receiver.wait_for(2, TIMEOUT), Ok(()));
    assert_eq!(receiver.request_log().first().unwrap().transport, Transport::Http);
}

#[test]
fn a_gzip_body_over_http_is_understood() {
    let receiver = Receiver::start();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&export(4).encode_to_vec()).unwrap();
    let mut client = Client::connect(address(&receiver.http_endpoint())).unwrap();

    let headers = [PROTOBUF, ("Content-Encoding", "gzip")];
    let answer = client
        .post("/v1/traces", &headers, &encoder.finish().unwrap())
        .unwrap();

    assert_eq!((answer.status, receiver.span_count()), (200, 4));
}

#[test]
fn a_body_that_is_no_export_request_is_refused() {
    let receiver = Receiver::start();
    let mut client = Client::connect(address(&receiver.http_endpoint())).unwrap();

    let answer = client
        .post("/v1/traces", &[PROTOBUF], b"\x0a\xff\x01oops")
        .unwrap();

    assert_eq!(
        (answer.status, receiver.span_count(), receiver.requests()),
        (400, 0, 1)
    );
}

#[tokio::test]
async fn counting_sees_as_many_spans_as_decoding() {
    let receiver = Receiver::counting();
    let mut client = TraceServiceClient::connect(receiver.grpc_endpoint())
        .await
        .unwrap();

    client.export(export(200)).await.unwrap();
    post(&receiver, 5);

    assert_eq!((receiver.span_count(), receiver.spans().len()), (205, 0));
}

#[test]
fn scripted_http_answers_come_in_order_and_then_every_span_is_taken() {
    let receiver = Receiver::start();
    receiver.answer_next(vec![
        Answer::Status(503),
        Answer::StatusWithRetry(429, Duration::from_secs(7)),
        Answer::PartialSuccess {
            rejected: 2,
            message: "too old".to_owned(),
        },
        Answer::Delay(Duration::from_millis(1)),
    ]);

    let answers: Vec<_> = (0..5).map(|_| post(&receiver, 3)).collect();

    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [503, 429, 200, 200, 200]);
    assert_eq!(answers[1].header("retry-after"), Some("7"));
    let partial = ExportTraceServiceResponse::decode(&*answers[2].body)
        .unwrap()
        .partial_success
        .unwrap();
    assert_eq!(
        (partial.rejected_spans, partial.error_message.as_str()),
        (2, "too old")
    );
    assert_eq!((receiver.span_count(), receiver.requests()), (7, 5));
}

#[tokio::test]
async fn scripted_grpc_answers_carry_code_and_retry_info() {
    let receiver = Receiver::start();
    receiver.answer_next(vec![
        Answer::Status(14),
        Answer::StatusWithRetry(8, Duration::from_secs(5)),
    ]);
    let mut client = TraceServiceClient::connect(receiver.grpc_endpoint())
        .await
        .unwrap();

    let unavailable = client.export(export(1)).await.unwrap_err();
    let exhausted = client.export(export(1)).await.unwrap_err();

    assert_eq!(unavailable.code(), tonic::Code::Unavailable);
    assert_eq!(exhausted.code(), tonic::Code::ResourceExhausted);
    let details = String::from_utf8_lossy(exhausted.details()).into_owned();
    assert!(
        details.contains("type.googleapis.com/google.rpc.RetryInfo"),
        "{details}"
    );
    assert_eq!(receiver.span_count(), 0);
}

#[test]
fn a_hanging_request_is_seen_and_never_answered() {
    let receiver = Receiver::start();
    receiver.answer_next(vec![Answer::Hang]);
    let body = export(1).encode_to_vec();
    let mut client = Client::connect(address(&receiver.http_endpoint())).unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );

    client.send(&[head.as_bytes(), &body].concat()).unwrap();

    assert!(receiver.wait_for_requests(1, TIMEOUT));
    drop(receiver);
    assert!(client.is_closed_by_server());
}

#[test]
fn waiting_in_vain_says_how_many_came() {
    let receiver = Receiver::start();
    post(&receiver, 1);

    let error = receiver.wait_for(2, Duration::from_millis(1)).unwrap_err();

    assert_eq!((error.expected, error.received), (2, 1));
}

#[test]
fn a_receiver_can_come_back_on_its_ports() {
    let first = Receiver::start();
    let (grpc, http) = (address(&first.grpc_endpoint()), address(&first.http_endpoint()));
    drop(first);

    let second = Receiver::start_on(grpc.port(), http.port());

    assert_eq!(post(&second, 1).status, 200);
}

/// Sends one request over HTTP and does not wait for the answer.
fn send(receiver: &Receiver, span_count: u8) -> Client {
    let body = export(span_count).encode_to_vec();
    let mut client = Client::connect(address(&receiver.http_endpoint())).unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(&[head.as_bytes(), &body].concat()).unwrap();
    client
}
