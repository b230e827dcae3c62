//! Span data in the SDK's batch processor with its OTLP exporter, at its cheapest: no `tracing`, no SDK span,
//! constant attributes without a copy.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use actix_web::dev::Service;
use actix_web::{App, HttpServer};
use anyhow::Result;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, StringValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanLinks,
    SpanProcessor,
};
use workload::Shape;

pub(crate) async fn serve(endpoint: &str) -> Result<()> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()?;
    // Large enough that nothing is lost: the point here is the cost.
    let config = BatchConfigBuilder::default().with_max_queue_size(1 << 17).build();
    let mut processor = BatchSpanProcessor::builder(exporter)
        .with_batch_config(config)
        .build();
    processor.set_resource(&Resource::builder().with_service_name("span-export").build());
    let processor = Arc::new(processor);
    let shared = Arc::clone(&processor);
    let shape = Shape::read()?;
    let app = move || {
        let processor = Arc::clone(&shared);
        let scope = Rc::new(InstrumentationScope::builder("span-export").build());
        App::new()
            .configure(|config| shape.configure(config))
            .wrap_fn(move |request, service| {
                let started = Instant::now();
                let start_time = SystemTime::now();
                let path: Arc<str> = request.path().into();
                let ids = RandomIdGenerator::default();
                let span_context = SpanContext::new(
                    ids.new_trace_id(),
                    ids.new_span_id(),
                    TraceFlags::SAMPLED,
                    false,
                    TraceState::NONE,
                );
                let (processor, scope) = (Arc::clone(&processor), Rc::clone(&scope));
                let answer = service.call(request);
                async move {
                    let answer = answer.await?;
                    processor.on_end(SpanData {
                        span_context,
                        parent_span_id: SpanId::INVALID,
                        parent_span_is_remote: false,
                        span_kind: SpanKind::Server,
                        name: "GET /api/users/{id}".into(),
                        start_time,
                        end_time: start_time + started.elapsed(),
                        attributes: vec![
                            KeyValue::new("http.request.method", "GET"),
                            KeyValue::new("http.route", "/api/users/{id}"),
                            KeyValue::new("url.scheme", "http"),
                            KeyValue::new("http.response.status_code", i64::from(answer.status().as_u16())),
                            KeyValue::new("url.path", StringValue::from(path)),
                        ],
                        dropped_attributes_count: 0,
                        events: SpanEvents::default(),
                        links: SpanLinks::default(),
                        status: Status::Unset,
                        instrumentation_scope: (*scope).clone(),
                    });
                    Ok(answer)
                }
            })
    };
    HttpServer::new(app)
        .workers(shape.workers)
        .keep_alive(workload::KEEP_ALIVE)
        .listen(workload::bind()?)?
        .run()
        .await?;
    // The exporter's connection lives on this thread's runtime, which a blocking call here would stop.
    actix_web::rt::task::spawn_blocking(move || processor.shutdown_with_timeout(workload::FLUSH)).await??;
    Ok(())
}
