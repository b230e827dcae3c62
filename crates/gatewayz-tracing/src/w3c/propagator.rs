//! The same reader and writer behind OpenTelemetry's propagator interface.

use std::sync::LazyLock;

use opentelemetry::Context;
use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceId, TraceState as ApiTraceState};

use super::{TRACEPARENT, TRACESTATE, TraceContext, TraceState, extract, inject};

static FIELDS: LazyLock<[String; 2]> = LazyLock::new(|| [TRACEPARENT.to_owned(), TRACESTATE.to_owned()]);

/// Strict W3C trace context for libraries that speak OpenTelemetry's API.
///
/// Relies on [`Extractor::get_all`] to see repeated headers; an extractor that has only the first
/// value hides a second `traceparent`. A state whose keys the API's own type cannot hold (several
/// at signs) travels beside the span context and is sent on all the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct StrictTraceContextPropagator;

impl TextMapPropagator for StrictTraceContextPropagator {
    fn inject_context(&self, cx: &Context, injector: &mut dyn Injector) {
        let span = cx.span();
        let span_context = span.span_context();
        let api_state = span_context.trace_state().header();
        let state = TraceState::parse(std::iter::once(api_state.as_bytes())).or_else(|| {
            let carried = cx.get::<CarriedState>()?;
            carried
                .state
                .clone()
                .filter(|_| carried.trace_id == span_context.trace_id())
        });
        let context = TraceContext {
            trace_id: span_context.trace_id(),
            span_id: span_context.span_id(),
            flags: span_context.trace_flags(),
            state,
        };
        inject(&context, &mut |name, value| injector.set(name, value.to_owned()));
    }

    fn extract_with_context(&self, cx: &Context, extractor: &dyn Extractor) -> Context {
        let traceparents = extractor.get_all(TRACEPARENT).unwrap_or_default();
        let tracestates = extractor.get_all(TRACESTATE).unwrap_or_default();
        let context = extract(
            traceparents.iter().map(|value| value.as_bytes()),
            tracestates.iter().map(|value| value.as_bytes()),
        );
        let Some(TraceContext {
            trace_id,
            span_id,
            flags,
            state,
        }) = context
        else {
            return cx.clone();
        };

        let (api_state, refused) = match state {
            Some(state) => match ApiTraceState::from_key_value(state.iter()) {
                Ok(api_state) => (api_state, None),
                Err(_) => (ApiTraceState::NONE, Some(state)),
            },
            None => (ApiTraceState::NONE, None),
        };
        let remote = cx.with_remote_span_context(SpanContext::new(trace_id, span_id, flags, true, api_state));
        if refused.is_none() && cx.get::<CarriedState>().is_none() {
            return remote;
        }
        remote.with_value(CarriedState {
            trace_id,
            state: refused,
        })
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(FIELDS.as_slice())
    }
}

/// A state the API's type refuses, for as long as the trace stays the same.
struct CarriedState {
    trace_id: TraceId,
    state: Option<TraceState>,
}
