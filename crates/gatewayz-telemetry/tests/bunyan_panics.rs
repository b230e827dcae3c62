//! `LOG_FORMAT=bunyan` tells of a panic what the documented schema tells.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod serving;

use std::time::{Duration, Instant};

use actix_web::{HttpResponse, web};
use gatewayz_logging::Format;
use gatewayz_telemetry::Telemetry;
use gatewayz_testkit::http::Client;
use serving::{Lines, parse, serve};

#[test]
fn a_bunyan_line_of_a_panic_has_its_text_and_place() {
    let lines = Lines::new();
    let mut settings = lines.settings("orders-api");
    settings.log.format = Format::Bunyan;
    let telemetry = Telemetry::start(settings).unwrap();
    let server = serve(&telemetry, |app| {
        app.route("/panic", web::get().to(panic_at_once));
    });

    let answer = Client::connect(server.address)
        .unwrap()
        .get("/panic", &[])
        .unwrap();
    server.stop();
    let _report = telemetry.shutdown(Instant::now() + Duration::from_secs(10));

    let log = parse(&lines.read());
    let line = log
        .iter()
        .find(|line| line["target"] == "gatewayz::request")
        .unwrap();
    let message = line["exception_message"].as_str().unwrap();
    assert_eq!((answer.status, &line["exception_type"]), (500, &"panic".into()));
    assert!(
        message.starts_with("at once at ") && message.contains("bunyan_panics.rs:"),
        "{message}"
    );
}

async fn panic_at_once() -> HttpResponse {
    panic!("at once")
}
