//! The books of one exporter, read from the metrics page.

use gatewayz_testkit::scrape::Samples;

use crate::harness::{Api, DEADLINE, wait_for};

/// Figures of one exporter at one scrape.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Books {
    /// Records made for it.
    pub(super) created: f64,
    pub(super) delivered: f64,
    pub(super) send_failed: f64,
    pub(super) enqueue_failed: f64,
    pub(super) queued: f64,
}

impl Books {
    /// The figures of `stdout` or `loki`.
    #[track_caller]
    pub(super) fn of_lines(api: &Api, exporter: &str) -> Self {
        let samples = api.scrape();
        let created = samples.sum("telemetry_log_records_total", &[]);
        Self::read(&samples, exporter, "log_records", created)
    }

    /// The figures of `otlp`; every counted request has made one span.
    #[track_caller]
    pub(super) fn of_spans(api: &Api) -> Self {
        let samples = api.scrape();
        let created = samples.sum("fastapi_requests_total", &[]);
        Self::read(&samples, "otlp", "spans", created)
    }

    fn read(samples: &Samples, exporter: &str, records: &str, created: f64) -> Self {
        let sum = |name: &str| samples.sum(name, &[("exporter", exporter)]);
        Self {
            created,
            delivered: sum(&format!("telemetry_exporter_sent_{records}_total")),
            send_failed: sum(&format!("telemetry_exporter_send_failed_{records}_total")),
            enqueue_failed: sum(&format!("telemetry_exporter_enqueue_failed_{records}_total")),
            queued: sum("telemetry_exporter_queue_size"),
        }
    }

    pub(super) fn discarded(&self) -> f64 {
        self.send_failed + self.enqueue_failed
    }

    pub(super) fn balance(&self) -> bool {
        self.created == self.delivered + self.discarded() + self.queued
    }

    /// What `read` finds once nothing moves any more and nothing waits, which must be balanced.
    #[track_caller]
    pub(super) fn settled(read: impl Fn() -> Self) -> Self {
        let settled = wait_for(DEADLINE, || {
            let books = read();
            (books.queued == 0.0 && books.balance() && books == read()).then_some(books)
        });
        settled.unwrap_or_else(|| panic!("the books do not balance: {:?}", read()))
    }
}

/// Records an exporter lost for one reason; of `send_failed` or `enqueue_failed`.
#[track_caller]
pub(super) fn lost(api: &Api, exporter: &str, stage: &str, reason: &str) -> f64 {
    let records = if exporter == "otlp" {
        "spans"
    } else {
        "log_records"
    };
    let name = format!("telemetry_exporter_{stage}_{records}_total");
    let labels = [("exporter", exporter), ("reason", reason)];
    api.scrape().value(&name, &labels).unwrap_or(f64::NAN)
}
