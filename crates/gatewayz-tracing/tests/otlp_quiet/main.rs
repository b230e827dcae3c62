//! What deliveries record of themselves at the loudest level: nothing but what an operator should read.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gatewayz_delivery::{Delivery, QueueSettings, RetryPolicy, Severity};
use gatewayz_testkit::otlp::{Answer, Receiver};
use gatewayz_tracing::otlp::{OtlpSettings, OtlpSink, Protocol};
use gatewayz_tracing::sampler::Sampler;
use gatewayz_tracing::{Around, Events, SpanSubscriber, Tracer};
use tracing::Event;

const ENOUGH: Duration = Duration::from_secs(20);

/// Keeps the thread and the target of every event.
#[derive(Clone, Default)]
struct Recording(Arc<Mutex<Vec<(String, String)>>>);

impl Recording {
    /// Targets recorded on the threads whose name starts with `prefix`.
    fn targets(&self, prefix: &str) -> Vec<String> {
        let records = self.0.lock().unwrap();
        let matching = records.iter().filter(|(thread, _)| thread.starts_with(prefix));
        matching.map(|(_, target)| target.clone()).collect()
    }
}

impl Events for Recording {
    fn event(&self, event: &Event<'_>, _: &Around<'_>) {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        let target = event.metadata().target().to_owned();
        self.0.lock().unwrap().push((thread, target));
    }
}

/// Fails once, then is warned of twice, then works.
fn deliver(protocol: Protocol) {
    let receiver = Receiver::start();
    let warning = || Answer::PartialSuccess {
        rejected: 0,
        message: "use a newer version".to_owned(),
    };
    let unavailable = if protocol == Protocol::Grpc { 14 } else { 503 };
    receiver.answer_next(vec![Answer::Status(unavailable), warning(), warning()]);
    let endpoint = match protocol {
        Protocol::Grpc => receiver.grpc_endpoint(),
        Protocol::HttpProtobuf => format!("{}/v1/traces", receiver.http_endpoint()),
    };
    let sink = OtlpSink::new(&OtlpSettings {
        protocol,
        endpoint: endpoint.parse().unwrap(),
        headers: Vec::new(),
        gzip: false,
        resource: Vec::new(),
    });
    let retry = RetryPolicy {
        backoff_min: Duration::ZERO,
        backoff_max: Duration::ZERO,
        max_attempts: 3,
        ..RetryPolicy::default()
    };
    let delivery = Delivery::spawn("otlp", sink.unwrap(), QueueSettings::default(), retry, None).unwrap();
    for _ in 0..3 {
        delivery
            .queue()
            .push(Severity::Warn, |out| out.extend_from_slice(b"\x12\0"));
        delivery.flush(ENOUGH);
    }
    drop(receiver);
    delivery
        .queue()
        .push(Severity::Warn, |out| out.extend_from_slice(b"\x12\0"));
    let status = delivery.shutdown(Instant::now() + ENOUGH);

    assert_eq!((status.delivered, status.discarded_total()), (3, 1), "{status:?}");
}

#[test]
fn a_delivery_makes_no_record_but_one_warning_whatever_its_receiver_does() {
    let recording = Recording::default();
    let tracer = Tracer::new(Sampler::parse(None, None).unwrap(), 0, None);
    let subscriber = SpanSubscriber::new(tracer, recording.clone());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    tracing_log::LogTracer::init().unwrap();

    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        deliver(protocol);
    }

    let told = recording.targets("deliver-");
    assert!(
        told == ["gatewayz::delivery"; 2],
        "{} records: {:?}",
        told.len(),
        told.first()
    );
    // The receiver's thread shows that the same crates are heard elsewhere.
    assert!(
        recording
            .targets("otlp-receiver")
            .iter()
            .any(|target| target.starts_with("h2"))
    );
}
