//! What ordinary code inside a request leaves: child spans, events, spans of the OpenTelemetry API.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use actix_web::{App, HttpServer, web};
use gatewayz_telemetry::{ExportSettings, Telemetry, TelemetrySettings};
use gatewayz_testkit::http::Client;
use gatewayz_testkit::otlp::{ReceivedSpan, Receiver};
use gatewayz_tracing::otlp::Protocol;
use gatewayz_tracing::{current_context, otel_context, w3c};
use opentelemetry::trace::{Span, Tracer};
use tracing::Instrument;

#[test]
fn children_events_and_api_spans_belong_to_the_request() {
    let receiver = Receiver::start();
    let lines = tempfile::tempfile().unwrap();
    let telemetry = Telemetry::start(settings(&receiver, &lines)).unwrap();
    let (started, start) = mpsc::channel();
    let requests = telemetry.requests();
    let server = std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async {
            let server = HttpServer::new(move || {
                App::new()
                    .route("/orders/{id}", web::get().to(order))
                    .wrap(requests.clone())
            });
            let server = server
                .workers(1)
                .disable_signals()
                .bind(("127.0.0.1", 0))
                .unwrap();
            let address = server.addrs()[0];
            let server = server.run();
            started.send((address, server.handle())).unwrap();
            server.await.unwrap();
        });
    });
    let (address, handle) = start.recv().unwrap();

    let answer = Client::connect(address)
        .unwrap()
        .get("/orders/7?token=hidden", &[])
        .unwrap();
    actix_web::rt::System::new().block_on(handle.stop(true));
    server.join().unwrap();
    let report = telemetry.shutdown(Instant::now() + Duration::from_secs(10));

    assert_eq!(report.undelivered(), 0);
    let spans = receiver.spans();
    let span = |name: &str| -> &ReceivedSpan { spans.iter().find(|span| span.name == name).unwrap() };
    let root = span("GET /orders/{id}");
    let child = span("load_order");
    assert_eq!(spans.len(), 3, "{spans:#?}");
    assert!(spans.iter().all(|span| span.trace_id == root.trace_id));
    assert_eq!(Some(root.trace_id_hex().as_str()), answer.header("x-trace-id"));
    assert_eq!(child.parent_span_id, Some(root.span_id));
    assert_eq!(
        (child.int("order"), child.string("state")),
        (Some(7), Some("open"))
    );
    assert_eq!(root.string("url.path"), Some("/orders/7"));
    let api = span("price lookup");
    assert_eq!(api.parent_span_id, Some(root.span_id));
    assert_eq!(api.string("otel.scope.name"), Some("pricing"));
    assert_eq!(
        answer.text(),
        format!("00-{}-{}-03", child.trace_id_hex(), child.span_id_hex())
    );

    // actix tells of its own start and stop.
    let log: Vec<String> = read(lines)
        .lines()
        .filter(|line| !line.contains("\"actix_server"))
        .map(str::to_owned)
        .collect();
    assert!(!log.concat().contains("hidden"));
    let in_task: serde_json::Value = serde_json::from_str(&log[0]).unwrap();
    assert_eq!(
        (&in_task["message"], &in_task["endpoint"]),
        (&"In a task".into(), &"/orders/7".into())
    );
    assert_eq!(in_task["span_id"], root.span_id_hex().as_str());
    let line: serde_json::Value = serde_json::from_str(&log[1]).unwrap();
    let keys: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "timestamp",
            "level",
            "service",
            "endpoint",
            "method",
            "trace_id",
            "span_id",
            "message",
            "environment",
            "route",
            "target",
            "items",
            "level_",
            "order",
            "state"
        ]
    );
    assert_eq!(line["message"], "Order loaded\u{1b}[31m");
    assert_eq!(
        (&line["level"], &line["level_"]),
        (&"INFO".into(), &"forged".into())
    );
    assert_eq!(
        (&line["endpoint"], &line["route"]),
        (&"/orders/7".into(), &"/orders/{id}".into())
    );
    assert_eq!(line["span_id"], child.span_id_hex().as_str());
    assert!(log.concat().is_ascii());
    assert_eq!(log.len(), 3);
}

async fn order(id: web::Path<u64>) -> String {
    let mut lookup =
        opentelemetry::global::tracer("pricing").start_with_context("price lookup", &otel_context());
    lookup.end();
    let task = async { tracing::info!("In a task") };
    actix_web::rt::spawn(task.in_current_span()).await.unwrap();
    load_order(*id).await
}

#[tracing::instrument(skip_all, fields(order = id, state = tracing::field::Empty))]
async fn load_order(id: u64) -> String {
    tracing::Span::current().record("state", "open");
    tracing::info!(items = 3, level = "forged", "Order loaded\u{1b}[31m");
    let mut outgoing = String::new();
    w3c::inject(&current_context().unwrap(), &mut |_, value| {
        outgoing.push_str(value);
    });
    outgoing
}

fn read(mut file: File) -> String {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

fn settings(receiver: &Receiver, lines: &File) -> TelemetrySettings {
    let mut settings = TelemetrySettings::new("orders-api", "1.0.0", "local");
    let endpoint = receiver.grpc_endpoint().parse().unwrap();
    settings.traces.export = Some(ExportSettings::new(Protocol::Grpc, endpoint));
    settings.log.file = Some(Arc::new(lines.try_clone().unwrap()));
    settings
}
