//! What counts of a body: what was read of it, and what the connection took.

mod serving;

use std::time::{Duration, Instant};

use actix_web::web::{self, Bytes};
use gatewayz_metrics::Format;
use gatewayz_telemetry::Telemetry;
use gatewayz_testkit::http::Client;
use gatewayz_testkit::scrape::Samples;
use serving::{Lines, parse, serve};

/// More than the sockets of both sides take while nobody reads.
const LARGE: usize = 64 << 20;

#[test]
fn only_bytes_that_went_by_are_counted() {
    let lines = Lines::new();
    let telemetry = Telemetry::start(lines.settings("orders-api")).unwrap();
    let server = serve(&telemetry, |app| {
        app.route("/short", web::get().to(|| async { "fifteen bytes.." }))
            .route("/short", web::head().to(|| async { "fifteen bytes.." }))
            .route("/large", web::get().to(|| async { vec![b'x'; LARGE] }))
            .route("/read", web::post().to(|body: Bytes| async move { body }))
            .route("/unread", web::post().to(|| async { "no" }));
    });
    let connect = || Client::connect(server.address).unwrap();

    connect().get("/short", &[]).unwrap();
    connect().request("HEAD", "/short", &[], b"").unwrap();
    connect().post("/read", &[], b"twelve bytes").unwrap();
    let mut client = connect();
    client
        .send(b"POST /unread HTTP/1.1\r\nhost: test\r\ncontent-length: 18446744073709551615\r\n\r\n")
        .unwrap();
    client.read_head().unwrap();
    client.reset().unwrap();
    let mut client = connect();
    client.send(b"GET /large HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    client.read_head().unwrap();
    client.reset().unwrap();
    server.stop();
    let _report = telemetry.shutdown(Instant::now() + Duration::from_secs(10));

    let mut page = Vec::new();
    telemetry.registry().render(Format::Text, &mut page);
    let samples = Samples::parse(&String::from_utf8(page).unwrap()).unwrap();
    let read = |path: &str| samples.sum("fastapi_request_size_bytes_sum", &[("path", path)]);
    let answered = |method: &str, path: &str| {
        let labels = [("method", method), ("path", path)];
        samples.sum("fastapi_response_size_bytes_sum", &labels)
    };
    assert_eq!((read("/read"), read("/unread")), (12.0, 0.0));
    assert_eq!(
        (answered("GET", "/short"), answered("HEAD", "/short")),
        (15.0, 0.0)
    );

    let log = parse(&lines.read());
    let statuses = |method: &str, route: &str| -> Vec<u64> {
        log.iter()
            .filter(|line| line["method"] == method && line["route"] == route)
            .map(|line| line["status_code"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(statuses("HEAD", "/short"), [200]);
    assert_eq!(statuses("GET", "/large"), [499]);
}
