//! W3C trace context level 2, strict: extraction from header values, and rendering.
//!
//! Malformed input never breaks a request and never grows memory: a `traceparent` that breaks the
//! format counts as absent, a broken `tracestate` is dropped without touching the `traceparent`.

pub mod baggage;
mod propagator;
mod traceparent;
mod tracestate;

use opentelemetry::trace::{SpanId, TraceFlags, TraceId};

pub use self::propagator::StrictTraceContextPropagator;
pub use self::tracestate::{MAX_TRACESTATE_BYTES, TraceState};

/// Header with the ids and flags of the caller's span.
pub const TRACEPARENT: &str = "traceparent";
/// Header with the tracing systems' own entries.
pub const TRACESTATE: &str = "tracestate";
/// Set when the last seven bytes of the trace id are random (level 2, "Random Trace ID Flag").
pub const RANDOM_FLAG: TraceFlags = TraceFlags::new(0b10);
/// Length of a version 00 `traceparent`, in bytes.
pub const TRACEPARENT_BYTES: usize = 55;

/// A position in a trace, as it travels between processes.
///
/// Extraction yields non-zero ids and no flags but sampled and [`RANDOM_FLAG`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The whole trace.
    pub trace_id: TraceId,
    /// The span that made the call; the parent of the receiver's span.
    pub span_id: SpanId,
    /// Sampled, random.
    pub flags: TraceFlags,
    /// Entries of other tracing systems, to be passed on. `None` when there are none.
    pub state: Option<TraceState>,
}

impl TraceContext {
    /// The context of the first span of a new trace, for a random trace id.
    pub fn root(trace_id: TraceId, span_id: SpanId, sampled: bool) -> Self {
        Self {
            trace_id,
            span_id,
            flags: RANDOM_FLAG.with_sampled(sampled),
            state: None,
        }
    }

    /// The context of a span below this one: same trace, random flag and state.
    #[must_use]
    pub fn child(&self, span_id: SpanId, sampled: bool) -> Self {
        Self {
            span_id,
            flags: self.flags.with_sampled(sampled),
            ..self.clone()
        }
    }

    /// The `traceparent` value, version 00; unknown flags are written as zero.
    pub fn traceparent(&self) -> [u8; TRACEPARENT_BYTES] {
        traceparent::render(self.trace_id, self.span_id, self.flags)
    }
}

/// Reads the context from the values of all `traceparent` and all `tracestate` headers, in order.
///
/// `None` when there is no `traceparent`, more than one, or a malformed one: a new trace starts, and
/// the `tracestate` is not looked at. Several `tracestate` values are one list. One well-formed
/// `traceparent` without `tracestate` allocates nothing.
pub fn extract<'a>(
    mut traceparents: impl Iterator<Item = &'a [u8]>,
    tracestates: impl Iterator<Item = &'a [u8]>,
) -> Option<TraceContext> {
    let header = traceparents.next()?;
    if traceparents.next().is_some() {
        return None;
    }
    let (trace_id, span_id, flags) = traceparent::parse(trim_whitespace(header))?;
    Some(TraceContext {
        trace_id,
        span_id,
        flags,
        state: TraceState::parse(tracestates),
    })
}

/// Hands the outgoing headers to `set`: `traceparent`, then `tracestate` if there is one.
///
/// The context is that of the span making the call. Nothing is set when an id is zero.
pub fn inject(context: &TraceContext, set: &mut impl FnMut(&'static str, &str)) {
    if context.trace_id == TraceId::INVALID || context.span_id == SpanId::INVALID {
        return;
    }
    let header = context.traceparent();
    if let Ok(header) = str::from_utf8(&header) {
        set(TRACEPARENT, header);
    }
    if let Some(state) = &context.state {
        set(TRACESTATE, state.as_str());
    }
}

/// Strips optional whitespace: space and tab only (RFC 9110, section 5.6.3).
fn trim_whitespace(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}
