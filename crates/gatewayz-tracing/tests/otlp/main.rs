//! The exporter against real sockets: what each answer leads to, and receivers that mean harm.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod connections;
mod hostile_grpc;
mod hostile_http;
mod messages;
mod raw;
mod table;
mod unheard;
mod waits;

use std::sync::Arc;
use std::time::{Duration, Instant};

use gatewayz_delivery::{Attempt, Batch, Delivery, QueueSettings, RetryPolicy, Severity, Sink};
use gatewayz_testkit::otlp::Receiver;
use gatewayz_tracing::otlp::{OtlpSettings, OtlpSink, Protocol};

const ENOUGH: Duration = Duration::from_secs(20);
const BOTH: [Protocol; 2] = [Protocol::Grpc, Protocol::HttpProtobuf];

fn settings(protocol: Protocol, endpoint: &str) -> OtlpSettings {
    OtlpSettings {
        protocol,
        endpoint: endpoint.parse().unwrap(),
        headers: Vec::new(),
        gzip: false,
        resource: vec![("service.name".to_owned(), "gatewayz-api".to_owned())],
    }
}

fn settings_for(protocol: Protocol, receiver: &Receiver) -> OtlpSettings {
    match protocol {
        Protocol::Grpc => settings(protocol, &receiver.grpc_endpoint()),
        Protocol::HttpProtobuf => settings(protocol, &format!("{}/v1/traces", receiver.http_endpoint())),
    }
}

/// A span as an element of `ScopeSpans.spans`, with nothing but a name.
fn span(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    [&[0x12, length + 2, 0x2a, length], name.as_bytes()].concat()
}

fn batch(names: &[&str]) -> Arc<Batch> {
    let spans: Vec<Vec<u8>> = names.iter().map(|name| span(name)).collect();
    Arc::new(Batch::from_records(spans.iter().map(Vec::as_slice)))
}

fn send(sink: &mut OtlpSink) -> Attempt {
    sink.send(&batch(&["GET /"]), Instant::now() + ENOUGH)
}

/// Gives up after three attempts without a pause but the one a receiver asks for.
fn eager() -> RetryPolicy {
    RetryPolicy {
        attempt_timeout: ENOUGH,
        backoff_min: Duration::ZERO,
        backoff_max: Duration::ZERO,
        max_attempts: 3,
        split_suspect_bytes: usize::MAX,
        ..RetryPolicy::default()
    }
}

/// Sends only when told to flush.
fn delivery(settings: &OtlpSettings, retry: RetryPolicy) -> Delivery {
    let queue = QueueSettings {
        linger: ENOUGH,
        ..QueueSettings::default()
    };
    let sink = OtlpSink::new(settings).unwrap();
    let delivery = Delivery::spawn("otlp", sink, queue, retry, None).unwrap();
    // Its first look at the queue does not wait for company.
    delivery.flush(ENOUGH);
    delivery
}

fn push(delivery: &Delivery, name: &str) {
    delivery
        .queue()
        .push(Severity::Warn, |out| out.extend_from_slice(&span(name)));
}
