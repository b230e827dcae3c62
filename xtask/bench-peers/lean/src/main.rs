//! The request middleware with all three signals for every request: `lean ADDRESS OTLP_GRPC_ENDPOINT [NAME=VALUE]...`.

use std::time::Instant;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::{Context, Result};
use gatewayz_metrics::{Family, Registry};
use gatewayz_telemetry::{ExportSettings, ScrapeError, Telemetry, TelemetrySettings};
use gatewayz_tracing::otlp::Protocol;
use workload::Shape;

/// Series that are there and that no request touches.
const ITEMS: Family = Family::counter(
    "bench_items_total",
    "Series that make the page long.",
    &["group", "item"],
)
.with_series_limit(SERIES_MAX);
/// More than any measurement asks for.
const SERIES_MAX: usize = 1_000_000;
const ITEMS_PER_GROUP: usize = 100;

fn main() -> Result<()> {
    let endpoint = workload::argument(2, "OTLP endpoint")?;
    let endpoint = endpoint.parse().context("read the OTLP endpoint")?;
    let mut settings = TelemetrySettings::new("lean", env!("CARGO_PKG_VERSION"), "local");
    settings.families = vec![&[ITEMS]];
    settings.metrics.series_limit = SERIES_MAX;
    settings.traces.export = Some(ExportSettings::new(Protocol::Grpc, endpoint));
    let telemetry = Telemetry::start(settings).context("start the telemetry")?;
    let shape = Shape::read()?;
    fill(telemetry.registry(), shape.series)?;
    let served = actix_web::rt::System::new().block_on(serve(telemetry.clone(), shape));
    let report = telemetry.shutdown(Instant::now() + workload::FLUSH);
    eprintln!("undelivered: {}", report.undelivered());
    served
}

fn fill(registry: &Registry, series: usize) -> Result<()> {
    for index in 0..series {
        let (group, item) = (index / ITEMS_PER_GROUP, index % ITEMS_PER_GROUP);
        registry
            .counter(&ITEMS, &[&group.to_string(), &item.to_string()])
            .context("make a series")?
            .increment();
    }
    Ok(())
}

async fn serve(telemetry: Telemetry, shape: Shape) -> Result<()> {
    let shared = web::Data::new(telemetry.clone());
    let app = move || {
        App::new()
            .app_data(shared.clone())
            .configure(|config| shape.configure(config))
            .route("/metrics", web::get().to(metrics))
            .wrap(telemetry.requests())
    };
    HttpServer::new(app)
        .workers(shape.workers)
        .keep_alive(workload::KEEP_ALIVE)
        .listen(workload::bind()?)?
        .run()
        .await?;
    Ok(())
}

async fn metrics(
    request: HttpRequest,
    telemetry: web::Data<Telemetry>,
) -> Result<HttpResponse, ScrapeError> {
    telemetry.scrape(request.headers()).await
}
