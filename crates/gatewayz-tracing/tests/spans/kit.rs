//! Where exported spans and events go in these tests, read back with the official types.

use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gatewayz_delivery::{Attempt, Batch, Delivery, QueueSettings, RetryPolicy, Sink};
use gatewayz_tracing::sampler::Sampler;
use gatewayz_tracing::{Around, Events, SpanState, Tracer};
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};
use prost::Message;
use tracing::Event;

const ENOUGH: Duration = Duration::from_secs(20);

/// Takes the records of a delivery, each an element of `ScopeSpans.spans`.
struct Collect(Arc<Mutex<Vec<u8>>>);

impl Sink for Collect {
    fn send(&mut self, batch: &Arc<Batch>, _deadline: Instant) -> Attempt {
        let mut bytes = self.0.lock().unwrap();
        batch.runs().for_each(|run| bytes.extend_from_slice(run));
        Attempt::Delivered
    }
}

/// A tracer and what it exported.
pub(super) struct Export {
    delivery: Delivery,
    bytes: Arc<Mutex<Vec<u8>>>,
    pub(super) tracer: Tracer,
}

impl Export {
    pub(super) fn start() -> Self {
        let bytes = Arc::default();
        let sink = Collect(Arc::clone(&bytes));
        let delivery = Delivery::spawn(
            "spans",
            sink,
            QueueSettings::default(),
            RetryPolicy::default(),
            None,
        )
        .unwrap();
        let tracer = Tracer::new(Sampler::default(), 1_000, Some(delivery.queue().clone()));
        Self {
            delivery,
            bytes,
            tracer,
        }
    }

    /// All spans, in the order in which they were closed on each thread.
    pub(super) fn spans(self) -> Vec<Span> {
        let status = self.delivery.shutdown(Instant::now() + ENOUGH);
        assert_eq!(status.discarded_total() + status.queued, 0, "{status:?}");
        let bytes = self.bytes.lock().unwrap();
        ScopeSpans::decode(bytes.as_slice()).unwrap().spans
    }
}

/// What events were in: their spans' fields, the innermost first.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Vec<Vec<String>>>>);

impl Heard {
    pub(super) fn add(&self, scope: Vec<String>) {
        self.0.lock().unwrap().push(scope);
    }

    pub(super) fn scopes(&self) -> Vec<Vec<String>> {
        self.0.lock().unwrap().clone()
    }
}

impl Events for Heard {
    fn event(&self, _event: &Event<'_>, around: &Around<'_>) {
        let mut scope = Vec::new();
        around.each(|state| scope.push(fields(state)));
        self.add(scope);
    }
}

/// A span's fields as a text.
pub(super) fn fields(state: &SpanState) -> String {
    let mut text = String::new();
    state.fields(|name, value| write!(text, "{name}={value:?} ").unwrap());
    text
}
