//! The usual composition: `usual ADDRESS OTLP_GRPC_ENDPOINT [NAME=VALUE]...`.
//!
//! actix-web-prom, tracing-actix-web's default root span, bunyan lines on stdout, tracing-opentelemetry and the
//! SDK's batch processor over OTLP/gRPC, each as its documentation shows it.

use actix_web::{App, HttpServer};
use actix_web_prom::PrometheusMetricsBuilder;
use anyhow::{Result, anyhow};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_actix_web::TracingLogger;
use tracing_bunyan_formatter::{BunyanFormattingLayer, JsonStorageLayer};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use workload::Shape;

#[actix_web::main]
async fn main() -> Result<()> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(workload::argument(2, "OTLP endpoint")?)
        .build()?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name("usual").build())
        .build();
    tracing_subscriber::registry()
        .with(EnvFilter::new("info"))
        .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("usual")))
        .with(JsonStorageLayer)
        .with(BunyanFormattingLayer::new("usual".to_owned(), std::io::stdout))
        .try_init()?;
    let metrics = PrometheusMetricsBuilder::new("http")
        .endpoint("/metrics")
        .build()
        .map_err(|error| anyhow!("build the metrics: {error}"))?;
    let shape = Shape::read()?;
    let app = move || {
        App::new()
            .configure(|config| shape.configure(config))
            .wrap(TracingLogger::default())
            .wrap(metrics.clone())
    };
    HttpServer::new(app)
        .workers(shape.workers)
        .keep_alive(workload::KEEP_ALIVE)
        .listen(workload::bind()?)?
        .run()
        .await?;
    // The exporter's connection lives on this thread's runtime, which a blocking call here would stop.
    actix_web::rt::task::spawn_blocking(move || provider.shutdown_with_timeout(workload::FLUSH)).await??;
    Ok(())
}
