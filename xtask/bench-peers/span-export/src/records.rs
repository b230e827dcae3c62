//! Records encoded once on the worker, carried by `gatewayz-delivery`.

use std::time::{Duration, Instant};

use actix_web::dev::Service;
use actix_web::{App, HttpServer};
use anyhow::{Context, Result};
use gatewayz_delivery::{Delivery, QueueSettings, RetryPolicy};
use gatewayz_tracing::otlp::{OtlpSettings, OtlpSink, Protocol};
use gatewayz_tracing::sampler::Sampler;
use gatewayz_tracing::{Moment, PreparedServerSpan, SpanEnd, Tracer};
use workload::Shape;

pub(crate) async fn serve(endpoint: &str) -> Result<()> {
    let sink = OtlpSink::new(&OtlpSettings {
        protocol: Protocol::Grpc,
        endpoint: endpoint.parse().context("read the OTLP endpoint")?,
        headers: Vec::new(),
        gzip: false,
        resource: vec![("service.name".to_owned(), "span-export".to_owned())],
    })?;
    let queue = QueueSettings {
        capacity_bytes: 16 << 20,
        batch_max_bytes: 4 << 20,
        linger: Duration::from_secs(1),
        ..QueueSettings::default()
    };
    let delivery = Delivery::spawn("otlp", sink, queue, RetryPolicy::default(), None)?;
    let tracer = Tracer::new(Sampler::default(), 1_000, Some(delivery.queue().clone()));
    let shape = Shape::read()?;
    let app = move || {
        let tracer = tracer.clone();
        let prepared = std::rc::Rc::new(PreparedServerSpan::new("GET", Some("/api/users/{id}"), 200));
        App::new()
            .configure(|config| shape.configure(config))
            .wrap_fn(move |request, service| {
                let started = Moment::now();
                let path: Box<str> = request.path().into();
                let span = tracer.server_span(None, started, path);
                let (tracer, prepared) = (tracer.clone(), prepared.clone());
                let answer = service.call(request);
                async move {
                    let answer = answer.await?;
                    let start_unix_nanos = started.unix_nanos();
                    let end = SpanEnd {
                        start_unix_nanos,
                        end_unix_nanos: start_unix_nanos + Moment::now().nanos_since(started),
                        url_path: span.attachment(),
                        exception: None,
                    };
                    span.end(&tracer, &prepared, &end);
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
    let _ = delivery.shutdown(Instant::now() + workload::FLUSH);
    Ok(())
}
