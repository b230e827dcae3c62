//! The sink against real sockets: what is sent, and what each answer leads to.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod hostile;
mod wire;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gatewayz_delivery::{Batch, Delivery, QueueSettings, RetryPolicy, Severity};
use gatewayz_loki::{Credentials, LokiSettings, LokiSink, StreamLabels, Wire, record};
use gatewayz_testkit::loki::{Answer, Receiver};

/// One time for all lines; Loki takes none that is older than a week.
static NOW: LazyLock<u64> = LazyLock::new(|| {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since_epoch.as_nanos()).unwrap()
});
const TRACE_ID: [u8; 16] = [
    0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36,
];
const SPAN_ID: [u8; 8] = [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7];
const ENOUGH: Duration = Duration::from_secs(20);

/// A Loki that answers so, and then as Loki does.
fn scripted(script: impl IntoIterator<Item = Answer>) -> Receiver {
    let receiver = Receiver::start();
    receiver.answer_next(script.into_iter().collect());
    receiver
}

fn settings(push_url: &str, wire: Wire) -> LokiSettings {
    LokiSettings {
        push_url: push_url.parse().unwrap(),
        wire,
        labels: StreamLabels {
            service: "gatewayz-api".to_owned(),
            app: "gatewayz".to_owned(),
            environment: "local".to_owned(),
        },
        credentials: Credentials::None,
        tenant: None,
    }
}

fn batch(lines: &[&[u8]]) -> Arc<Batch> {
    let records: Vec<Vec<u8>> = lines
        .iter()
        .map(|line| {
            let mut out = Vec::new();
            record::write(*NOW, "INFO", Some(TRACE_ID), Some(SPAN_ID), line, &mut out);
            out
        })
        .collect();
    Arc::new(Batch::from_records(records.iter().map(Vec::as_slice)))
}

/// Sends only when told to flush, and gives up after three quick attempts.
fn delivery(settings: &LokiSettings) -> Delivery {
    let retry = RetryPolicy {
        max_attempts: 3,
        split_suspect_bytes: usize::MAX,
        ..RetryPolicy::default()
    };
    delivery_with(settings, retry)
}

fn delivery_with(settings: &LokiSettings, retry: RetryPolicy) -> Delivery {
    let queue = QueueSettings {
        linger: ENOUGH,
        ..QueueSettings::default()
    };
    let retry = RetryPolicy {
        attempt_timeout: ENOUGH,
        backoff_min: Duration::ZERO,
        backoff_max: Duration::ZERO,
        ..retry
    };
    let sink = LokiSink::new(settings).unwrap();
    let delivery = Delivery::spawn("loki", sink, queue, retry, None).unwrap();
    // Its first look at the queue does not wait for company.
    delivery.flush(ENOUGH);
    delivery
}

fn push(delivery: &Delivery, level: &str, line: &str) {
    delivery.queue().push(Severity::Warn, |out| {
        record::write(*NOW, level, Some(TRACE_ID), Some(SPAN_ID), line.as_bytes(), out);
    });
}
