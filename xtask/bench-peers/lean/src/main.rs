//! The request middleware with all three signals for every request: `lean ADDRESS OTLP_GRPC_ENDPOINT`.

use std::time::Instant;

use actix_web::http::header::{ACCEPT, CONTENT_TYPE};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::{Context, Result};
use gatewayz_metrics::Registry;
use gatewayz_telemetry::{ExportSettings, Telemetry, TelemetrySettings, metrics_page};
use gatewayz_tracing::otlp::Protocol;

fn main() -> Result<()> {
    let endpoint = workload::argument(2, "OTLP endpoint")?;
    let endpoint = endpoint.parse().context("read the OTLP endpoint")?;
    let mut settings = TelemetrySettings::new("lean", env!("CARGO_PKG_VERSION"), "local");
    settings.traces.export = Some(ExportSettings::new(Protocol::Grpc, endpoint));
    let telemetry = Telemetry::start(settings).context("start the telemetry")?;
    let served = actix_web::rt::System::new().block_on(serve(telemetry.clone()));
    let report = telemetry.shutdown(Instant::now() + workload::FLUSH);
    eprintln!("undelivered: {}", report.undelivered());
    served
}

async fn serve(telemetry: Telemetry) -> Result<()> {
    let registry = web::Data::new(telemetry.registry().clone());
    let app = move || {
        App::new()
            .app_data(registry.clone())
            .configure(workload::configure)
            .route("/metrics", web::get().to(metrics))
            .wrap(telemetry.requests())
    };
    HttpServer::new(app)
        .workers(1)
        .keep_alive(workload::KEEP_ALIVE)
        .listen(workload::bind()?)?
        .run()
        .await?;
    Ok(())
}

async fn metrics(request: HttpRequest, registry: web::Data<Registry>) -> HttpResponse {
    let accept = request
        .headers()
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok());
    let mut page = Vec::new();
    let content_type = metrics_page(&registry, accept, &mut page);
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, content_type))
        .body(page)
}
