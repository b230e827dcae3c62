//! The process may open no more files.

use gatewayz_testkit::otlp::Receiver;
use gatewayz_testkit::process::Output;

use super::books::Books;
use super::spawn;
use crate::harness::{DEADLINE, wait_for};

#[test]
fn without_a_file_to_spare_open_connections_are_served_and_no_record_is_lost() {
    let receiver = Receiver::start();
    let endpoint = format!("http://{}", receiver.grpc_address());
    let api = spawn(
        Output::Read,
        &[
            ("TEMPO_OTLP_GRPC_ENDPOINT", &endpoint),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ],
    );
    let mut open = api.client();
    assert_eq!(open.get("/api/users/1", &[]).unwrap().status, 200);
    let exported = || (receiver.unique_span_count() == 1).then_some(());
    assert_eq!(wait_for(DEADLINE, exported), Some(()));

    api.limit_open_files(Some(0));
    let mut waiting = api.client();
    waiting
        .send(b"GET /api/users/2 HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    let told = api.wait_for_line(|line| line["target"] == "actix_server::accept");
    let answers = (0..500).map(|_| open.get("/api/users/1", &[]).unwrap().status);
    assert_eq!(answers.filter(|status| *status == 200).count(), 500);

    api.limit_open_files(None);
    assert_eq!(waiting.read_answer().unwrap().status, 200);
    assert_eq!(told["level"], "ERROR", "{told}");
    let spans = Books::settled(|| Books::of_spans(&api));
    assert_eq!((spans.created, spans.delivered), (502.0, 502.0), "{spans:?}");
    let lines = Books::settled(|| Books::of_lines(&api, "stdout"));
    assert_eq!(lines.created, lines.delivered, "{lines:?}");
}
