//! The request middleware with all three signals for every request: `lean ADDRESS OTLP_GRPC_ENDPOINT`.

use std::time::{Duration, Instant};

use actix_web::http::header::{ACCEPT, CONTENT_TYPE};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::{Context, Result};
use gatewayz_delivery::{QueueSettings, RetryPolicy};
use gatewayz_logging::Format;
use gatewayz_metrics::RegistrySettings;
use gatewayz_telemetry::{
    ExportSettings, LogSettings, Telemetry, TelemetrySettings, TraceSettings, metrics_page,
};
use gatewayz_tracing::otlp::{OtlpSettings, Protocol};
use gatewayz_tracing::sampler::Sampler;

fn main() -> Result<()> {
    let telemetry = Telemetry::start(settings()?).context("start the telemetry")?;
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

async fn metrics(request: HttpRequest, registry: web::Data<gatewayz_metrics::Registry>) -> HttpResponse {
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

/// The service's defaults.
fn settings() -> Result<TelemetrySettings> {
    let endpoint = workload::argument(2, "OTLP endpoint")?;
    let otlp = OtlpSettings {
        protocol: Protocol::Grpc,
        endpoint: endpoint.parse().context("read the OTLP endpoint")?,
        headers: Vec::new(),
        gzip: false,
        resource: Vec::new(),
    };
    let queue = QueueSettings {
        capacity_bytes: 16 << 20,
        batch_max_bytes: 4 << 20,
        linger: Duration::from_secs(1),
        ..QueueSettings::default()
    };
    Ok(TelemetrySettings {
        app_name: "gatewayz".to_owned(),
        service_name: "lean".to_owned(),
        service_version: "0.0.0".to_owned(),
        environment: "local".to_owned(),
        log: LogSettings {
            format: Format::Json,
            levels: "info".parse().context("read the levels")?,
            line_max_bytes: 16 << 10,
            stdout_buffer_bytes: 8 << 20,
        },
        traces: TraceSettings {
            sampler: Sampler::default(),
            incoming_sampled_per_second: 1_000,
            export: Some(ExportSettings {
                otlp,
                queue,
                retry: RetryPolicy::default(),
            }),
        },
        loki: None,
        metrics: RegistrySettings::default(),
        families: Vec::new(),
        silent_routes: vec!["/metrics"],
    })
}
