//! Somebody else's service: the lines that mention telemetry are all that the three signals cost its authors.
//!
//! `cargo run -p instrumented-service`, then `curl 127.0.0.1:8080/orders/7` and `curl 127.0.0.1:8080/metrics`.

use std::error::Error;
use std::time::{Duration, Instant};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use gatewayz_telemetry::{ExportSettings, ScrapeError, Telemetry, TelemetrySettings};
use gatewayz_tracing::otlp::Protocol;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut settings = TelemetrySettings::new("orders", env!("CARGO_PKG_VERSION"), "local");
    settings.traces.export = Some(ExportSettings::new(
        Protocol::Grpc,
        "http://127.0.0.1:4317".parse()?,
    ));
    let telemetry = Telemetry::start(settings)?;

    let shared = telemetry.clone();
    HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(shared.clone()))
            .route("/orders/{id}", web::get().to(order))
            .route("/metrics", web::get().to(metrics))
            .wrap(shared.requests())
    })
    .bind(("127.0.0.1", 8080))?
    .run()
    .await?;

    let _ = web::block(move || telemetry.shutdown(Instant::now() + Duration::from_secs(5))).await?;
    Ok(())
}

#[tracing::instrument]
async fn order(id: web::Path<u64>) -> String {
    tracing::info!(order = *id, "Order read");
    format!("order {id}\n")
}

async fn metrics(request: HttpRequest, telemetry: web::Data<Telemetry>) -> Result<HttpResponse, ScrapeError> {
    telemetry.scrape(request.headers()).await
}
