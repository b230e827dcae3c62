//! What a server span takes, from its ids to the encoded record in the queue, and what reading a trace context does.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up has nothing to measure"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use divan::{Bencher, black_box};
use gatewayz_delivery::{Attempt, Batch, Delivery, QueueSettings, RetryPolicy, Sink};
use gatewayz_tracing::sampler::Sampler;
use gatewayz_tracing::{Around, Events, Moment, PreparedServerSpan, SpanEnd, SpanSubscriber, Tracer, w3c};
use tracing::Event;

const START_NANOS: u64 = 1_790_000_000_123_456_789;

/// Takes everything, at once.
struct Nowhere;

impl Sink for Nowhere {
    fn send(&mut self, _batch: &Arc<Batch>, _deadline: Instant) -> Attempt {
        Attempt::Delivered
    }
}

fn main() {
    divan::main();
}

fn delivery() -> Delivery {
    let queue = QueueSettings {
        capacity_bytes: 64 << 20,
        linger: Duration::from_millis(10),
        ..QueueSettings::default()
    };
    Delivery::spawn("bench", Nowhere, queue, RetryPolicy::default(), None).unwrap()
}

#[divan::bench]
fn server_span(bencher: Bencher<'_, '_>) {
    let delivery = delivery();
    let tracer = Tracer::new(Sampler::default(), 1_000, Some(delivery.queue().clone()));
    let prepared = PreparedServerSpan::new("GET", Some("/api/users/{id}"), 200);
    let end = SpanEnd {
        start_unix_nanos: START_NANOS,
        end_unix_nanos: START_NANOS + 42_000,
        url_path: "/api/users/1",
        exception: None,
    };

    bencher.bench_local(|| {
        let span = tracer.server_span(None, Moment::now(), ());
        span.end(&tracer, &prepared, black_box(&end));
    });
}

/// Hears every event and does nothing.
struct Deaf;

impl Events for Deaf {
    fn event(&self, event: &Event<'_>, around: &Around<'_>) {
        black_box((event, around));
    }
}

/// A span with a field, entered once, and an event in it: opened, exported and closed.
#[divan::bench]
fn local_span(bencher: Bencher<'_, '_>) {
    let delivery = delivery();
    let tracer = Tracer::new(Sampler::default(), 1_000, Some(delivery.queue().clone()));

    tracing::subscriber::with_default(SpanSubscriber::new(tracer, Deaf), || {
        bencher.bench_local(|| {
            let _span = tracing::info_span!("load", order = black_box(7)).entered();
            tracing::info!("Loaded");
        });
    });
}

/// A server span without a queue: what ids and the sampler take.
#[divan::bench]
fn server_span_unexported(bencher: Bencher<'_, '_>) {
    let tracer = Tracer::new(Sampler::default(), 1_000, None);

    bencher.bench_local(|| tracer.server_span(None, Moment::now(), ()));
}

#[divan::bench]
fn extract(bencher: Bencher<'_, '_>) {
    let traceparent = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".as_slice();
    let tracestate = b"vendor=value,other=1".as_slice();

    bencher.bench(|| {
        w3c::extract(
            [black_box(traceparent)].into_iter(),
            [black_box(tracestate)].into_iter(),
        )
    });
}
