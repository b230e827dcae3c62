//! What ordinary code inside a request leaves: child spans, events, spans of the OpenTelemetry API.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod serving;

use std::time::{Duration, Instant};

use actix_web::web;
use gatewayz_telemetry::{ExportSettings, Telemetry};
use gatewayz_testkit::http::Client;
use gatewayz_testkit::otlp::{ReceivedSpan, Receiver};
use gatewayz_tracing::otlp::Protocol;
use gatewayz_tracing::{current_context, otel_context, w3c};
use opentelemetry::trace::{Span, Tracer};
use serving::{Lines, parse, serve};
use tracing::Instrument;

#[test]
fn children_events_and_api_spans_belong_to_the_request() {
    let receiver = Receiver::start();
    let lines = Lines::new();
    let mut settings = lines.settings("orders-api");
    let endpoint = receiver.grpc_endpoint().parse().unwrap();
    settings.traces.export = Some(ExportSettings::new(Protocol::Grpc, endpoint));
    let telemetry = Telemetry::start(settings).unwrap();
    let server = serve(&telemetry, |app| {
        app.route("/orders/{id}", web::get().to(order));
    });

    let answer = Client::connect(server.address)
        .unwrap()
        .get("/orders/7?token=hidden", &[])
        .unwrap();
    server.stop();
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

    let text = lines.read();
    assert!(!text.contains("hidden"));
    assert!(text.is_ascii());
    // actix tells of its own start and stop.
    let mut log = parse(&text);
    log.retain(|line| !line["target"].as_str().unwrap().starts_with("actix_server"));
    let [in_task, line, _request] = &log[..] else {
        panic!("{log:#?}")
    };
    assert_eq!(
        (&in_task["message"], &in_task["endpoint"]),
        (&"In a task".into(), &"/orders/7".into())
    );
    assert_eq!(in_task["span_id"], root.span_id_hex().as_str());
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
