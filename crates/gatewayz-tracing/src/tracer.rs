//! Who a new span is: its ids, its parent, and whether it is kept.

use std::sync::Arc;

use gatewayz_delivery::{Queue, Severity};
use opentelemetry::trace::SpanId;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::api;
use crate::clock::Moment;
use crate::encode;
use crate::id::{new_span_id, new_trace_id};
use crate::layer::SpanLayer;
use crate::sampler::{IncomingLimit, Sampler};
use crate::server_span::ServerSpan;
use crate::w3c::TraceContext;

/// A span's own position and its parent.
#[derive(Debug, Clone)]
pub struct SpanIdentity {
    /// Trace, own span id, flags, state.
    pub context: TraceContext,
    /// The parent; `None` for the first span of a trace.
    pub parent_span_id: Option<SpanId>,
    /// Whether the parent is in another process.
    pub parent_is_remote: bool,
}

impl SpanIdentity {
    /// Whether the span is exported.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.context.flags.is_sampled()
    }

    /// Becomes that of a new span below `parent`, in the same process.
    pub(crate) fn become_child_of(&mut self, parent: &Self) {
        self.context = parent.context.child(new_span_id(), parent.is_sampled());
        self.parent_span_id = Some(parent.context.span_id);
        self.parent_is_remote = false;
    }
}

/// Makes spans and hands finished ones to the export queue. Clones share one configuration.
#[derive(Debug, Clone)]
pub struct Tracer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sampler: Sampler,
    incoming: IncomingLimit,
    export: Option<Queue>,
}

impl Tracer {
    /// `incoming_per_second` bounds the traces kept only because their caller's flag says so. Without an
    /// `export` queue there are ids and sampling decisions, and nothing leaves the process.
    #[must_use]
    pub fn new(sampler: Sampler, incoming_per_second: u32, export: Option<Queue>) -> Self {
        let incoming = IncomingLimit::new(incoming_per_second, Moment::now());
        Self(Arc::new(Inner {
            sampler,
            incoming,
            export,
        }))
    }

    /// The layer that makes a span of each `tracing` span.
    #[must_use]
    pub fn layer(&self) -> SpanLayer {
        SpanLayer::new(self.clone())
    }

    /// A provider for code that speaks the OpenTelemetry API; its spans share this tracer's queue. `None` without
    /// export.
    ///
    /// # Errors
    /// When the official exporter refuses the environment's OTEL_EXPORTER_OTLP_* variables.
    pub fn api_provider(&self) -> Result<Option<SdkTracerProvider>, ExporterBuildError> {
        self.0
            .export
            .clone()
            .map(|queue| api::provider(self.0.sampler, queue))
            .transpose()
    }

    /// Traces that were not kept because too many callers asked.
    #[must_use]
    pub fn limited_total(&self) -> u64 {
        self.0.incoming.limited_total()
    }

    /// Attributes of spans cut or left out for their length or number, in this process.
    #[must_use]
    pub fn truncated_attributes(&self) -> u64 {
        encode::truncated()
    }

    /// A server span below `parent`, or the first of a new trace. `attachment` is whatever the maker wants to
    /// find again from inside the span.
    pub fn server_span<A>(
        &self,
        parent: Option<TraceContext>,
        now: Moment,
        attachment: A,
    ) -> Arc<ServerSpan<A>> {
        ServerSpan::new(self.identify(parent, now), attachment)
    }

    /// The identity of a span below a remote `parent`, or of the first span of a new trace.
    pub(crate) fn identify(&self, parent: Option<TraceContext>, now: Moment) -> SpanIdentity {
        let Some(parent) = parent else {
            let trace_id = new_trace_id();
            let sampled = self.0.sampler.sample(None, trace_id);
            let context = TraceContext::root(trace_id, new_span_id(), sampled);
            return SpanIdentity {
                context,
                parent_span_id: None,
                parent_is_remote: false,
            };
        };
        let sampled = self
            .0
            .sampler
            .sample_limited(Some(&parent), parent.trace_id, &self.0.incoming, now);
        let parent_span_id = Some(parent.span_id);
        let flags = parent.flags.with_sampled(sampled);
        let context = TraceContext {
            span_id: new_span_id(),
            flags,
            ..parent
        };
        SpanIdentity {
            context,
            parent_span_id,
            parent_is_remote: true,
        }
    }

    /// Queues one finished span for export, if it is sampled and export is on.
    pub(crate) fn export(
        &self,
        identity: &SpanIdentity,
        start_unix_nanos: u64,
        end_unix_nanos: u64,
        write_rest: impl FnOnce(&mut Vec<u8>),
    ) {
        let Some(queue) = &self.0.export else { return };
        if !identity.is_sampled() {
            return;
        }
        // Spans of one trace belong together, so none is shed before the queue is full.
        queue.push(Severity::Warn, |out| {
            encode::span(identity, start_unix_nanos, end_unix_nanos, out, write_rest);
        });
    }
}
