//! A panic inside a call, in every signal.

use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::Instant;

use actix_web::App;
use actix_web::http::StatusCode;
use actix_web::test::{TestRequest, init_service, try_call_service};
use actix_web::web::{Data, post};
use gatewayz_api::endpoints::inference::{Inference, chat};
use gatewayz_api::problem;
use gatewayz_api::settings::{SCHEMA, Settings};
use gatewayz_api::state::State;
use gatewayz_config::Loader;
use gatewayz_inference::{Catalog, Gateway, GatewaySettings};
use gatewayz_metrics::Format;
use gatewayz_telemetry::{ExportSettings, Telemetry, TelemetrySettings};
use gatewayz_testkit::otlp::{ReceivedSpan, Receiver, SpanKind};
use gatewayz_testkit::scrape::Samples;
use gatewayz_tracing::otlp::Protocol;
use serde_json::{Value, json};

use crate::harness::DEADLINE;

/// The service's own parts around a gateway that panics in each attempt.
fn panicking(telemetry: &Telemetry) -> State {
    let settings = GatewaySettings {
        trace_headers: Some(Arc::new(|_, _| panic!("on purpose"))),
        ..GatewaySettings::default()
    };
    let gateway = Gateway::new(&Catalog::echo(), telemetry.registry(), settings).unwrap();
    let values = Loader::new(&SCHEMA, [("ENVIRONMENT", "local")]).load();
    let settings = Settings::from_values(&values).unwrap();
    let registry = prometheus::Registry::new();
    State::new(
        settings,
        values.describe(),
        telemetry.clone(),
        Some(gateway),
        registry,
    )
}

#[test]
fn a_panic_in_a_call_is_one_error_in_every_signal() {
    let receiver = Receiver::start();
    let mut lines = tempfile::tempfile().unwrap();
    let mut settings = TelemetrySettings::new("gatewayz-api", "1", "local");
    settings.log.file = Some(Arc::new(lines.try_clone().unwrap()));
    settings.families = vec![gatewayz_inference::FAMILIES];
    let endpoint = receiver.grpc_endpoint().parse().unwrap();
    settings.traces.export = Some(ExportSettings::new(Protocol::Grpc, endpoint));
    let telemetry = Telemetry::start(settings).unwrap();
    let state = panicking(&telemetry);

    let status = actix_web::rt::System::new().block_on(async {
        let app = App::new()
            .app_data(Data::new(Inference::of_worker(&state)))
            .route("/v1/chat/completions", post().to(chat))
            .wrap(telemetry.requests().with_problem_page(problem::panicked));
        let app = init_service(app).await;
        let body = json!({ "model": "echo", "messages": [{ "role": "user", "content": "x" }] });
        let call = TestRequest::post().uri("/v1/chat/completions").set_json(body);
        let refused = try_call_service(&app, call.to_request()).await.err();
        refused.unwrap().as_response_error().status_code()
    });
    let report = telemetry.shutdown(Instant::now() + DEADLINE);

    assert_eq!(report.undelivered(), 0);
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let mut page = Vec::new();
    telemetry.registry().render(Format::Text, &mut page);
    let samples = Samples::parse(&String::from_utf8(page).unwrap()).unwrap();
    let calls = |status| samples.sum("model_inference_requests_total", &[("status", status)]);
    assert_eq!((calls("error"), calls("cancelled")), (1.0, 0.0));
    assert_eq!(
        samples.sum("fastapi_requests_total", &[("status_code", "500")]),
        1.0
    );
    let mut text = String::new();
    lines.seek(SeekFrom::Start(0)).unwrap();
    lines.read_to_string(&mut text).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["target"] == "gatewayz::request")
        .collect();
    let [line] = lines.as_slice() else {
        panic!("{text}");
    };
    let told = ["inference_status", "inference_error", "exception_type"];
    let told = told.map(|key| &line[key]);
    assert_eq!(told, ["error", "panic", "panic"], "{line}");
    let spans = receiver.spans();
    let error = |kind| {
        let of_kind = |span: &&ReceivedSpan| span.kind == kind;
        spans.iter().find(of_kind)?.string("error.type")
    };
    assert_eq!(
        (error(SpanKind::Client), error(SpanKind::Server)),
        (Some("panic"), Some("500"))
    );
}
