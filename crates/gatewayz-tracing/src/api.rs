//! Spans of code that speaks the OpenTelemetry API: made by its SDK, encoded by its exporter, delivered by ours.
//!
//! The official exporter runs with a client that puts the encoded spans into the same queue as all others, so they
//! share bounds, retries and accounting, and a trace that crosses both worlds stays one.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use gatewayz_delivery::{Queue, Severity};
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceState};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::trace::{Sampler as SdkSampler, SdkTracerProvider};

use crate::current::current_context;
use crate::encode;
use crate::sampler::{RootRule, Sampler};

const RESOURCE_SPANS: u8 = 0x0a;
const SCOPE_SPANS: u8 = 0x12;
const SCOPE: u8 = 0x0a;
const SCOPE_NAME: u8 = 0x0a;
const SPANS: u8 = 0x12;

/// A provider whose spans go to `queue`.
pub(crate) fn provider(sampler: Sampler, queue: Queue) -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        // Nothing is sent there: the client below keeps every request.
        .with_endpoint("http://queue.invalid/v1/traces")
        .with_http_client(QueueClient(queue))
        .build()?;
    let sampler = match sampler {
        Sampler::Root(rule) => sdk_rule(rule),
        Sampler::ParentBased(rule) => SdkSampler::ParentBased(Box::new(sdk_rule(rule))),
    };
    Ok(SdkTracerProvider::builder()
        .with_sampler(sampler)
        .with_simple_exporter(exporter)
        .build())
}

fn sdk_rule(rule: RootRule) -> SdkSampler {
    match rule {
        RootRule::AlwaysOn => SdkSampler::AlwaysOn,
        RootRule::AlwaysOff => SdkSampler::AlwaysOff,
        RootRule::TraceIdRatio(ratio) => SdkSampler::TraceIdRatioBased(ratio.share()),
    }
}

/// The current `tracing` span as an OpenTelemetry context, to be the parent of a span made through the API.
#[must_use]
pub fn otel_context() -> Context {
    let Some(current) = current_context() else {
        return Context::new();
    };
    let state = current
        .state
        .as_ref()
        .and_then(|state| TraceState::from_key_value(state.iter()).ok());
    let span = SpanContext::new(
        current.trace_id,
        current.span_id,
        current.flags,
        false,
        state.unwrap_or_default(),
    );
    Context::new().with_remote_span_context(span)
}

/// Takes the exporter's requests apart and queues each span.
struct QueueClient(Queue);

impl fmt::Debug for QueueClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("QueueClient")
    }
}

#[async_trait]
impl HttpClient for QueueClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        for (_, resource_spans) in Fields(request.body()).filter(|(tag, _)| *tag == RESOURCE_SPANS) {
            for (_, scope_spans) in Fields(resource_spans).filter(|(tag, _)| *tag == SCOPE_SPANS) {
                let scope = Fields(scope_spans)
                    .find(|(tag, _)| *tag == SCOPE)
                    .map(|(_, scope)| scope);
                let name = scope.and_then(|scope| Fields(scope).find(|(tag, _)| *tag == SCOPE_NAME));
                let name = name
                    .and_then(|(_, name)| str::from_utf8(name).ok())
                    .unwrap_or_default();
                for (_, span) in Fields(scope_spans).filter(|(tag, _)| *tag == SPANS) {
                    self.queue(span, name);
                }
            }
        }
        Ok(Response::new(Bytes::new()))
    }
}

impl QueueClient {
    fn queue(&self, span: &[u8], scope_name: &str) {
        self.0.push(Severity::Warn, |out| {
            out.push(SPANS);
            encode::length_delimited(out, |out| {
                out.extend_from_slice(span);
                // All spans of a request share our scope; theirs stays as an attribute (OpenTelemetry's rule for
                // exporters without scopes).
                encode::text_attribute("otel.scope.name", scope_name, out);
            });
        });
    }
}

/// The length-delimited fields of a protobuf message; stops at anything else.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, rest) = self.0.split_first()?;
        if tag & 0b111 != 2 {
            return None;
        }
        let mut length = 0_usize;
        let mut rest = rest;
        for shift in (0..63).step_by(7) {
            let (byte, after) = rest.split_first()?;
            rest = after;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let (field, after) = rest.split_at_checked(length)?;
                self.0 = after;
                return Some((*tag, field));
            }
        }
        None
    }
}
