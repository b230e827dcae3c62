//! Where a log line finds its ids and its request.

use gatewayz_logging::{FactSource, SpanFacts};
use gatewayz_tracing::{ServerSpan, SpanIdentity, SpanState, current_request};

use crate::http::RequestHead;

/// Tells the log layer where a line finds its ids and its request.
pub(crate) const FACTS: FactSource = FactSource {
    of_span: |extensions, facts| {
        let Some(state) = extensions.get::<SpanState>() else {
            return;
        };
        if facts.trace_id.is_none() {
            add_ids(state.identity(), facts);
        }
        if let Some(request) = state.request() {
            add_request(request, facts);
        }
    },
    of_thread: |facts| {
        if let Some(request) = current_request() {
            add_ids(request.identity(), facts);
            add_request(&request, facts);
        }
    },
};

fn add_ids(identity: &SpanIdentity, facts: &mut SpanFacts) {
    facts.trace_id = Some(identity.context.trace_id.to_bytes());
    facts.span_id = Some(identity.context.span_id.to_bytes());
}

fn add_request(request: &ServerSpan, facts: &mut SpanFacts) {
    if let Some(head) = request.attachment_as::<RequestHead>() {
        facts.endpoint = Some(head.endpoint.clone());
        facts.method = Some(head.method);
        facts.route.clone_from(&head.route);
    }
}
