//! Server spans to an OTLP receiver, made and ended.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use gatewayz_delivery::{Delivery, QueueSettings, RetryPolicy};
use gatewayz_tracing::otlp::{OtlpSettings, OtlpSink, Protocol};
use gatewayz_tracing::sampler::Sampler;
use gatewayz_tracing::{Moment, PreparedServerSpan, SpanEnd, Tracer};

pub(crate) struct Spans {
    pub(crate) delivery: Delivery,
    tracer: Tracer,
    prepared: PreparedServerSpan,
}

impl Spans {
    pub(crate) fn new(endpoint: &str) -> Result<Self> {
        let sink = OtlpSink::new(&OtlpSettings {
            protocol: Protocol::Grpc,
            endpoint: endpoint.parse().context("read the OTLP endpoint")?,
            headers: Vec::new(),
            gzip: false,
            resource: vec![("service.name".to_owned(), "delivery-cost".to_owned())],
        })?;
        let queue = QueueSettings {
            capacity_bytes: 16 << 20,
            batch_max_bytes: 7 << 19,
            linger: Duration::from_secs(1),
            ..QueueSettings::default()
        };
        let delivery = Delivery::spawn("otlp", sink, queue, RetryPolicy::default(), None)?;
        Ok(Self {
            tracer: Tracer::new(Sampler::default(), 1_000, Some(delivery.queue().clone())),
            prepared: PreparedServerSpan::new("GET", Some("/api/users/{id}"), 200),
            delivery,
        })
    }

    pub(crate) fn push(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start_unix_nanos = now.as_nanos() as u64;
        let span = self.tracer.server_span(None, Moment::now(), ());
        let end = SpanEnd {
            start_unix_nanos,
            end_unix_nanos: start_unix_nanos + 42_000,
            url_path: "/api/users/1",
            exception: None,
        };
        span.end(&self.tracer, &self.prepared, &end);
    }
}
