//! Where a log line finds its ids and its request.

use gatewayz_logging::{FactSource, LogLayer, SpanFacts, SpanIds};
use gatewayz_tracing::{Around, Events, FieldValue, ServerSpan, SpanIdentity, SpanState, current_request};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata};

use crate::http::RequestHead;

/// Tells the log layer where a line finds its ids and its request, where spans are in a registry.
pub(crate) const FACTS: FactSource = FactSource {
    of_span: |extensions, facts| {
        if let Some(state) = extensions.get::<SpanState>() {
            add_span(state, facts);
        }
    },
    of_thread,
};

/// Events as lines, where spans are kept by [`gatewayz_tracing::SpanSubscriber`].
pub(crate) struct LogEvents(pub(crate) LogLayer);

impl Events for LogEvents {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.is_enabled(metadata)
    }

    fn max_level(&self) -> LevelFilter {
        self.0.max_level()
    }

    fn event(&self, event: &Event<'_>, around: &Around<'_>) {
        self.0.write_event(event, |facts, inherited| {
            let is_inside = around.each(|state| {
                add_span(state, facts);
                state.fields(|name, value| match value {
                    FieldValue::Integer(value) => inherited.integer(name, value),
                    FieldValue::Unsigned(value) => inherited.unsigned(name, value),
                    FieldValue::Flag(value) => inherited.flag(name, value),
                    FieldValue::Number(value) => inherited.number(name, value),
                    FieldValue::Text(value) => inherited.text(name, value),
                });
            });
            if !is_inside {
                of_thread(facts);
            }
        });
    }
}

fn add_span(state: &SpanState, facts: &mut SpanFacts) {
    if facts.ids.is_none() {
        facts.ids = Some(ids_of(state.identity()));
    }
    if facts.request.is_none()
        && let Some(request) = state.request()
    {
        add_request(request, facts);
    }
}

fn of_thread(facts: &mut SpanFacts) {
    if let Some(request) = current_request() {
        facts.ids = Some(ids_of(request.identity()));
        add_request(&request, facts);
    }
}

pub(crate) fn ids_of(identity: &SpanIdentity) -> SpanIds {
    SpanIds {
        trace_id: identity.context.trace_id.to_bytes(),
        span_id: identity.context.span_id.to_bytes(),
    }
}

fn add_request(request: &ServerSpan, facts: &mut SpanFacts) {
    if let Some(head) = request.attachment_as::<RequestHead>() {
        facts.request = Some(head.facts.clone());
    }
}
