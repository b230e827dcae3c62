//! Answers of a collector in trouble, or one that means harm, over both transports.

use std::time::Duration;

use gatewayz_testkit::http::ClientError;
use gatewayz_testkit::otlp::{Answer, Receiver};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use tonic::Code;
use tonic::codec::CompressionEncoding;

use crate::{TIMEOUT, export, post, send};

/// One export of `span_count` spans over a connection of its own; `None` when there is no answer in 300 ms.
fn export_over_grpc(receiver: &Receiver, span_count: u8) -> Option<Result<(), tonic::Status>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // Dropping the runtime closes the connection.
    runtime.block_on(async {
        let mut client = TraceServiceClient::connect(receiver.grpc_endpoint())
            .await
            .unwrap()
            .accept_compressed(CompressionEncoding::Gzip);
        let answer = tokio::time::timeout(Duration::from_millis(300), client.export(export(span_count)));
        answer.await.ok().map(|answer| answer.map(drop))
    })
}

/// What `span_count` spans with this answer fail with.
#[track_caller]
fn refused(receiver: &Receiver, answer: Answer, span_count: u8) -> tonic::Status {
    receiver.answer_next(vec![answer]);
    export_over_grpc(receiver, span_count).unwrap().unwrap_err()
}

#[track_caller]
fn check_unanswered(receiver: &Receiver, answer: Answer, span_count: u8) {
    receiver.answer_next(vec![answer]);
    assert!(export_over_grpc(receiver, span_count).is_none());
}

#[test]
fn an_answer_for_always_holds_until_normally() {
    let receiver = Receiver::start();
    receiver.answer_next(vec![Answer::Status(429)]);
    receiver.answer_always(Answer::Status(503));

    let mut statuses: Vec<u16> = (0..3).map(|_| post(&receiver, 1).status).collect();
    receiver.answer_normally();
    statuses.push(post(&receiver, 1).status);

    assert_eq!(statuses, [429, 503, 503, 200]);
    assert_eq!(receiver.span_count(), 1);
}

#[test]
fn a_span_that_comes_again_is_a_duplicate() {
    let receiver = Receiver::start();
    receiver.answer_next(vec![Answer::StoreThenCut]);

    assert!(send(&receiver, 2).is_closed_by_server());
    post(&receiver, 3);

    assert_eq!(
        (
            receiver.span_count(),
            receiver.unique_span_count(),
            receiver.duplicate_span_count()
        ),
        (5, 3, 2)
    );
    assert_eq!(receiver.wait_for_unique(3, TIMEOUT), Ok(()));
    assert_eq!(
        receiver.wait_for_unique(4, Duration::ZERO).unwrap_err().received,
        3
    );
}

#[test]
fn over_http_a_connection_is_cut_or_reset_without_an_answer() {
    let receiver = Receiver::start();
    receiver.answer_next(vec![Answer::Cut, Answer::Reset]);

    let cut = send(&receiver, 1).read_some(1).unwrap();
    let reset = send(&receiver, 1).read_some(1).unwrap_err();

    assert_eq!(cut, b"");
    assert!(
        matches!(&reset, ClientError::Connection(error) if error.kind() == std::io::ErrorKind::ConnectionReset),
        "{reset:?}"
    );
    assert_eq!((receiver.span_count(), receiver.requests()), (0, 2));
}

#[test]
fn over_http_bodies_may_be_endless_packed_slow_or_stuck() {
    let receiver = Receiver::start();
    receiver.answer_next(vec![
        Answer::EndlessBody(200),
        Answer::GzipBomb(400),
        Answer::Drip(503),
        Answer::StuckBody(200),
        Answer::Redirect("http://127.0.0.1:1/v1/traces".to_owned()),
    ]);

    let heads = [1, 2, 3, 4, 5].map(|span_count| send(&receiver, span_count).read_head().unwrap());

    assert_eq!(
        heads.each_ref().map(|head| head.status),
        [200, 400, 503, 200, 307]
    );
    assert_eq!(heads[0].header("content-length"), Some("1073741824"));
    assert_eq!(heads[1].header("content-encoding"), Some("gzip"));
    assert_eq!(heads[4].header("location"), Some("http://127.0.0.1:1/v1/traces"));
    assert!(receiver.wait_for_closed(5, TIMEOUT));
    assert!(receiver.bytes_answered() > 0);
    assert_eq!(receiver.span_count(), 1 + 4, "those with 200");
}

#[test]
fn requests_count_as_concurrent_while_both_are_open() {
    let receiver = Receiver::start();
    export_over_grpc(&receiver, 1).unwrap().unwrap();
    post(&receiver, 1);
    assert_eq!(receiver.max_concurrent_requests(), 1);
    receiver.answer_always(Answer::Hang);

    let held = send(&receiver, 1);
    assert!(receiver.wait_for_requests(3, TIMEOUT));
    assert!(export_over_grpc(&receiver, 1).is_none());

    assert_eq!((receiver.requests(), receiver.max_concurrent_requests()), (4, 2));
    drop(held);
}

#[test]
fn over_grpc_a_cut_or_reset_ends_the_connection() {
    let receiver = Receiver::start();
    for (answer, closed) in [(Answer::Cut, 1), (Answer::Reset, 2), (Answer::StoreThenCut, 3)] {
        let failed = refused(&receiver, answer.clone(), 1);

        assert!(receiver.wait_for_closed(closed, TIMEOUT), "{answer:?}");
        let source = format!("{failed:?}");
        assert_eq!(
            source.contains("ConnectionReset"),
            answer == Answer::Reset,
            "{source}"
        );
    }
    assert_eq!((receiver.requests(), receiver.span_count()), (3, 1));
    assert!(export_over_grpc(&receiver, 1).unwrap().is_ok());
}

#[test]
fn over_grpc_a_hanging_request_ends_with_its_sender() {
    let receiver = Receiver::start();

    check_unanswered(&receiver, Answer::Hang, 1);
    check_unanswered(&receiver, Answer::StoreThenHang, 2);

    assert!(receiver.wait_for_closed(2, TIMEOUT));
    assert_eq!(receiver.span_count(), 2);
}

#[test]
fn over_grpc_a_message_may_be_endless_packed_slow_or_stuck() {
    let receiver = Receiver::start();

    let endless = refused(&receiver, Answer::EndlessBody(200), 1);
    let bomb = refused(&receiver, Answer::GzipBomb(200), 1);
    check_unanswered(&receiver, Answer::Drip(200), 1);
    check_unanswered(&receiver, Answer::StuckBody(200), 1);
    refused(&receiver, Answer::EndlessBody(503), 1);

    assert_eq!(endless.code(), Code::OutOfRange, "{endless}");
    assert!(endless.message().contains("1073741824"), "{endless}");
    assert_eq!(bomb.code(), Code::ResourceExhausted, "{bomb}");
    assert!(receiver.wait_for_closed(5, TIMEOUT));
    assert_eq!(receiver.span_count(), 4, "those with 200");
}

#[test]
fn over_grpc_a_redirect_is_an_answer_without_a_grpc_status() {
    let receiver = Receiver::start();

    let redirect = Answer::Redirect("http://127.0.0.1:1/".to_owned());
    let failed = refused(&receiver, redirect, 1);

    assert_eq!(failed.code(), Code::Unknown, "{failed}");
    assert_eq!(receiver.span_count(), 0);
}

#[tokio::test]
async fn every_grpc_code_comes_with_and_without_retry_info() {
    let receiver = Receiver::start();
    let mut client = TraceServiceClient::connect(receiver.grpc_endpoint())
        .await
        .unwrap();
    for code in 1..=16 {
        receiver.answer_next(vec![
            Answer::Status(code),
            Answer::StatusWithRetry(code, Duration::from_millis(1_500)),
        ]);

        let without = client.export(export(1)).await.unwrap_err();
        let with = client.export(export(1)).await.unwrap_err();

        assert_eq!(without.code(), Code::from_i32(code.into()));
        assert_eq!(with.code(), Code::from_i32(code.into()));
        assert!(without.details().is_empty());
        assert!(String::from_utf8_lossy(with.details()).contains("google.rpc.RetryInfo"));
    }
}
