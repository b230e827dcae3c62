//! What a whole request takes in process, without a socket: routing and handler alone, then with all three signals, then
//! with a span and an event in the handler too.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up has nothing to measure"
)]

use std::fs::OpenOptions;
use std::sync::{Arc, OnceLock};

use actix_web::body::{MessageBody, to_bytes};
use actix_web::dev::{Service, ServiceResponse};
use actix_web::rt::{System, SystemRunner};
use actix_web::test::{TestRequest, init_service};
use actix_web::{App, Error, HttpResponse, web};
use divan::Bencher;
use gatewayz_telemetry::{ExportSettings, Telemetry, TelemetrySettings};
use gatewayz_testkit::otlp::Receiver;
use gatewayz_tracing::otlp::Protocol;

fn main() {
    divan::main();
}

/// One for the process, as `tracing` wants it: lines to nowhere, spans to a receiver that counts.
fn telemetry() -> &'static Telemetry {
    static TELEMETRY: OnceLock<(Telemetry, Receiver)> = OnceLock::new();
    let (telemetry, _) = TELEMETRY.get_or_init(|| {
        let receiver = Receiver::counting();
        let endpoint = receiver.grpc_endpoint().parse().unwrap();
        let mut settings = TelemetrySettings::new("bench", "0.0.0", "local");
        settings.traces.export = Some(ExportSettings::new(Protocol::Grpc, endpoint));
        let nowhere = OpenOptions::new().write(true).open("/dev/null").unwrap();
        settings.log.file = Some(Arc::new(nowhere));
        (Telemetry::start(settings).unwrap(), receiver)
    });
    telemetry
}

async fn user(id: web::Path<u64>) -> HttpResponse {
    HttpResponse::Ok().body(id.to_string())
}

async fn nested_user(id: web::Path<u64>) -> HttpResponse {
    find(id.into_inner()).await
}

#[tracing::instrument(skip_all, fields(user_id = id))]
async fn find(id: u64) -> HttpResponse {
    tracing::info!("User found");
    HttpResponse::Ok().body(id.to_string())
}

fn run<S, R, B>(bencher: Bencher<'_, '_>, system: &SystemRunner, service: &S, request: fn() -> R)
where
    S: Service<R, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    bencher.with_inputs(request).bench_local_values(|request| {
        system.block_on(async {
            let answer = service.call(request).await.unwrap();
            let body = to_bytes(answer.into_body()).await;
            body.map_or(0, |body| body.len())
        })
    });
}

#[divan::bench]
fn bare(bencher: Bencher<'_, '_>) {
    let system = System::new();
    let app = App::new().route("/api/users/{id}", web::get().to(user));
    let service = system.block_on(init_service(app));

    run(bencher, &system, &service, || {
        TestRequest::get().uri("/api/users/1").to_request()
    });
}

#[divan::bench]
fn observed(bencher: Bencher<'_, '_>) {
    let system = System::new();
    let app = App::new()
        .route("/api/users/{id}", web::get().to(user))
        .wrap(telemetry().requests());
    let service = system.block_on(init_service(app));

    run(bencher, &system, &service, || {
        TestRequest::get().uri("/api/users/1").to_request()
    });
}

#[divan::bench]
fn observed_with_span_and_event(bencher: Bencher<'_, '_>) {
    let system = System::new();
    let app = App::new()
        .route("/api/users/{id}", web::get().to(nested_user))
        .wrap(telemetry().requests());
    let service = system.block_on(init_service(app));

    run(bencher, &system, &service, || {
        TestRequest::get().uri("/api/users/1").to_request()
    });
}
