//! The CLIENT span of one attempt, in OpenTelemetry's GenAI words. No prompt and no output is ever in it.

use std::time::Duration;

use tracing::field::Empty;
use tracing::{Span, record_all};

use crate::failure::Failure;
use crate::provider::Backend;
use crate::reading::Reading;
use crate::request::Request;
use crate::routing::Candidate;

/// Opens the span of an attempt; `resends` is how many came before.
pub(crate) fn open(request: &Request, candidate: &Candidate, resends: u32) -> Span {
    let operation = request.operation.as_str();
    let model = &*candidate.upstream_model;
    let provider = &*candidate.provider.name;
    let (address, port) = match &candidate.provider.backend {
        Backend::OpenAi(provider) => Some(provider.address()).unzip(),
        Backend::Echo => (None, None),
    };
    tracing::info_span!(
        "inference_attempt",
        otel.name = &*candidate.span_name,
        otel.kind = "client",
        otel.status_code = Empty,
        "error.type" = Empty,
        gen_ai.operation.name = operation,
        gen_ai.provider.name = provider,
        gen_ai.request.model = model,
        gen_ai.request.stream = request.stream,
        gen_ai.response.id = Empty,
        gen_ai.response.model = Empty,
        gen_ai.response.finish_reasons = Empty,
        gen_ai.response.time_to_first_chunk = Empty,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        gen_ai.usage.cache_read.input_tokens = Empty,
        http.request.resend_count = resends,
        http.response.status_code = Empty,
        peer.service = provider,
        server.address = address,
        server.port = port,
    )
}

/// Says when the first byte of an answer was there that nobody waits for any more.
pub(crate) fn first_chunk(span: &Span, after: Duration) {
    span.record("gen_ai.response.time_to_first_chunk", after.as_secs_f64());
}

/// Says what the answer was, and when its first byte was there.
pub(crate) fn answered(span: &Span, reading: &Reading, first_chunk: Option<Duration>) {
    let tokens = reading.tokens;
    record_all!(
        span,
        gen_ai.response.id = reading.id.as_deref(),
        gen_ai.response.model = reading.model.as_deref(),
        gen_ai.response.finish_reasons = reading.finish_reason,
        gen_ai.response.time_to_first_chunk = first_chunk.map(|after| after.as_secs_f64()),
        gen_ai.usage.input_tokens = tokens.map(|tokens| tokens.input),
        gen_ai.usage.output_tokens = tokens.map(|tokens| tokens.output),
        gen_ai.usage.cache_read.input_tokens = tokens.map(|tokens| tokens.cached),
    );
}

/// Says how the attempt failed.
pub(crate) fn failed(span: &Span, failure: &Failure) {
    if let Failure::Status { status, .. } = failure {
        span.record("http.response.status_code", status.as_u16());
    }
    error(span, failure.kind());
}

/// Says that the attempt ended badly.
pub(crate) fn error(span: &Span, kind: &'static str) {
    span.record("error.type", kind);
    span.record("otel.status_code", "error");
}
