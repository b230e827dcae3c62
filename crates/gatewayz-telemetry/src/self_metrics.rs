//! What telemetry says of itself: every record created, delivered, lost, and how long it took.

use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use gatewayz_delivery::{Delivery, Discard, Observe, Status};
use gatewayz_logging::LogLayer;
use gatewayz_metrics::{Counter, Family, Histogram, Registry, Samples, SeriesError, Unit};
use gatewayz_tracing::Tracer;
use tracing::Level;

use crate::notices::Notices;
use crate::panic;

const BY_EXPORTER: &[&str] = &["exporter"];
const BY_REASON: &[&str] = &["exporter", "reason"];
const LATENCY_BUCKETS: &[f64] = &[
    0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];
/// Names of the destinations in every figure.
pub(crate) const STDOUT: &str = "stdout";
pub(crate) const LOKI: &str = "loki";
pub(crate) const OTLP: &str = "otlp";
/// Reasons of a repeated attempt that every destination knows; the others are counted from their first time on.
const RETRY_STATUSES: [&str; 3] = ["connect", "timeout", "transport"];
/// Statuses that exporters answer with, at most; the rest is counted as `__other__`.
const STATUS_LIMIT: usize = 64;

const LOG_RECORDS: Family = Family::counter(
    "telemetry_log_records_total",
    "Log lines made, by level.",
    &["level"],
);
const SENT_LOGS: Family = Family::counter(
    "telemetry_exporter_sent_log_records_total",
    "Log lines the destination has.",
    BY_EXPORTER,
);
const FAILED_LOGS: Family = Family::counter(
    "telemetry_exporter_send_failed_log_records_total",
    "Log lines lost on the way to the destination, by reason.",
    BY_REASON,
);
const REFUSED_LOGS: Family = Family::counter(
    "telemetry_exporter_enqueue_failed_log_records_total",
    "Log lines the queue did not take, by reason.",
    BY_REASON,
);
const SENT_SPANS: Family = Family::counter(
    "telemetry_exporter_sent_spans_total",
    "Spans the destination has.",
    BY_EXPORTER,
);
const FAILED_SPANS: Family = Family::counter(
    "telemetry_exporter_send_failed_spans_total",
    "Spans lost on the way to the destination, by reason.",
    BY_REASON,
);
const REFUSED_SPANS: Family = Family::counter(
    "telemetry_exporter_enqueue_failed_spans_total",
    "Spans the queue did not take, by reason.",
    BY_REASON,
);
const QUEUE_BYTES: Family = Family::gauge(
    "telemetry_exporter_queue_size_bytes",
    "Bytes of records waiting or in flight.",
    BY_EXPORTER,
)
.with_unit(Unit::Bytes);
const QUEUE_CAPACITY: Family = Family::gauge(
    "telemetry_exporter_queue_capacity_bytes",
    "Bound of telemetry_exporter_queue_size_bytes.",
    BY_EXPORTER,
)
.with_unit(Unit::Bytes);
const QUEUE_SIZE: Family = Family::gauge(
    "telemetry_exporter_queue_size",
    "Records waiting or in flight.",
    BY_EXPORTER,
);
const IN_FLIGHT: Family = Family::gauge(
    "telemetry_exporter_in_flight_requests",
    "Requests out at the moment.",
    BY_EXPORTER,
);
const LAST_SUCCESS: Family = Family::gauge(
    "telemetry_exporter_last_success_timestamp_seconds",
    "Unix time of the last batch the destination took; 0 until the first.",
    BY_EXPORTER,
)
.with_unit(Unit::Seconds);
const RETRIES: Family = Family::counter(
    "telemetry_exporter_retries_total",
    "Attempts that were repeated, by the status that made it necessary.",
    &["exporter", "status"],
)
.with_series_limit(STATUS_LIMIT);
const REQUEST_DURATION: Family = Family::histogram(
    "telemetry_exporter_request_duration_seconds",
    "Duration of attempts to send a batch, by how they ended.",
    &["exporter", "status"],
    Unit::Seconds,
    LATENCY_BUCKETS,
)
.with_series_limit(STATUS_LIMIT);
const PROPAGATION: Family = Family::histogram(
    "telemetry_propagation_latency_seconds",
    "From a batch's oldest record to its delivery.",
    BY_EXPORTER,
    Unit::Seconds,
    LATENCY_BUCKETS,
);
const PANICS: Family = Family::counter("panics_total", "Panics in this process, caught or not.", &[]);
const TRUNCATED: Family = Family::counter(
    "telemetry_attributes_truncated_total",
    "Fields of log lines and attributes of spans that were cut or left out for their length or number.",
    &["signal"],
);
const SUPPRESSED: Family = Family::counter(
    "telemetry_events_suppressed_total",
    "Events left out because their callsite wrote more than LOG_EVENTS_PER_SECOND.",
    &[],
);
const LIMITED_TRACES: Family = Family::counter(
    "telemetry_incoming_traces_limited_total",
    "Traces that were not kept although their caller asked, because too many did.",
    &[],
);

pub(crate) const FAMILIES: &[Family] = &[
    LOG_RECORDS,
    SENT_LOGS,
    FAILED_LOGS,
    REFUSED_LOGS,
    SENT_SPANS,
    FAILED_SPANS,
    REFUSED_SPANS,
    QUEUE_SIZE,
    QUEUE_BYTES,
    QUEUE_CAPACITY,
    IN_FLIGHT,
    RETRIES,
    REQUEST_DURATION,
    PROPAGATION,
    LAST_SUCCESS,
    TRUNCATED,
    SUPPRESSED,
    LIMITED_TRACES,
    PANICS,
    gatewayz_metrics::LABEL_OVERFLOW,
    gatewayz_metrics::COLLECT_ERRORS,
];

/// The deliveries of a process, by what their records are.
pub(crate) struct Deliveries {
    pub(crate) stdout: Arc<Delivery>,
    pub(crate) loki: Option<Arc<Delivery>>,
    pub(crate) otlp: Option<Arc<Delivery>>,
}

/// Offers every figure at each scrape, 0 from the start.
pub(crate) fn register(
    registry: &Registry,
    deliveries: &Deliveries,
    log: LogLayer,
    tracer: Tracer,
) -> Result<(), SeriesError> {
    let logs = [
        (STDOUT, Some(Arc::clone(&deliveries.stdout))),
        (LOKI, deliveries.loki.clone()),
    ];
    let spans = deliveries.otlp.clone();
    for exporter in [STDOUT, LOKI, OTLP] {
        registry.histogram(&PROPAGATION, &[exporter])?;
        registry.histogram(&REQUEST_DURATION, &[exporter, "ok"])?;
        for status in RETRY_STATUSES {
            registry.counter(&RETRIES, &[exporter, status])?;
        }
    }
    let families = [
        LOG_RECORDS,
        SENT_LOGS,
        FAILED_LOGS,
        REFUSED_LOGS,
        SENT_SPANS,
        FAILED_SPANS,
        REFUSED_SPANS,
        QUEUE_SIZE,
        QUEUE_BYTES,
        QUEUE_CAPACITY,
        IN_FLIGHT,
        LAST_SUCCESS,
        TRUNCATED,
        SUPPRESSED,
        LIMITED_TRACES,
        PANICS,
    ];
    let collect = move |samples: &mut Samples<'_>| {
        for level in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE] {
            samples.counter(&LOG_RECORDS, &[level.as_str()], log.lines().count(level));
        }
        for (exporter, delivery) in &logs {
            let status = status_of(delivery.as_deref());
            losses(
                samples,
                exporter,
                &status,
                [&SENT_LOGS, &FAILED_LOGS, &REFUSED_LOGS],
            );
            queue(samples, exporter, &status);
        }
        let status = status_of(spans.as_deref());
        losses(
            samples,
            OTLP,
            &status,
            [&SENT_SPANS, &FAILED_SPANS, &REFUSED_SPANS],
        );
        queue(samples, OTLP, &status);
        samples.counter(&TRUNCATED, &["log"], log.lines().truncated());
        samples.counter(&TRUNCATED, &["span"], tracer.truncated_attributes());
        samples.counter(&SUPPRESSED, &[], log.suppressed());
        samples.counter(&LIMITED_TRACES, &[], tracer.limited_total());
        samples.counter(&PANICS, &[], panic::count());
    };
    registry.collector(&families, Box::new(collect))
}

/// A destination that is not configured has every series too, so that a query finds 0 and not nothing.
fn status_of(delivery: Option<&Delivery>) -> Status {
    delivery.map(Delivery::status).unwrap_or_default()
}

fn losses(samples: &mut Samples<'_>, exporter: &str, status: &Status, families: [&Family; 3]) {
    let [sent, failed, refused] = families;
    samples.counter(sent, &[exporter], status.delivered);
    for reason in Discard::ALL {
        let family = if reason.is_enqueue() { refused } else { failed };
        samples.counter(family, &[exporter, reason.as_str()], status.discarded_for(reason));
    }
}

fn queue(samples: &mut Samples<'_>, exporter: &str, status: &Status) {
    let last_success = status
        .last_success
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let exporter = &[exporter];
    samples.gauge(&QUEUE_SIZE, exporter, status.queued as f64);
    samples.gauge(&QUEUE_BYTES, exporter, status.queued_bytes as f64);
    samples.gauge(&QUEUE_CAPACITY, exporter, status.capacity_bytes as f64);
    samples.gauge(&IN_FLIGHT, exporter, if status.in_flight { 1.0 } else { 0.0 });
    samples.gauge(
        &LAST_SUCCESS,
        exporter,
        last_success.unwrap_or_default().as_secs_f64(),
    );
}

/// Feeds one exporter's histograms and notices from its delivery thread.
pub(crate) struct ExporterObserver {
    registry: Registry,
    exporter: &'static str,
    propagation: Histogram,
    delivered: Histogram,
    notices: Notices,
}

impl ExporterObserver {
    pub(crate) fn new(registry: &Registry, exporter: &'static str) -> Result<Self, SeriesError> {
        Ok(Self {
            propagation: registry.histogram(&PROPAGATION, &[exporter])?,
            delivered: registry.histogram(&REQUEST_DURATION, &[exporter, "ok"])?,
            registry: registry.clone(),
            exporter,
            notices: Notices::new(exporter),
        })
    }
}

impl Observe for ExporterObserver {
    fn attempt(&self, status: &str, took: Duration) {
        if status == "ok" {
            self.delivered.observe(nanos(took), None);
        } else if let Ok(histogram) = self
            .registry
            .histogram(&REQUEST_DURATION, &[self.exporter, status])
        {
            histogram.observe(nanos(took), None);
        }
    }

    fn retry(&self, status: &str) {
        let retries: Result<Counter, SeriesError> = self.registry.counter(&RETRIES, &[self.exporter, status]);
        if let Ok(retries) = retries {
            retries.increment();
        }
    }

    fn delivered(&mut self, oldest: Instant, now: Instant) {
        let age = now.saturating_duration_since(oldest);
        self.propagation.observe(nanos(age), None);
        self.notices.delivered(now);
    }

    fn figures(&mut self, status: &Status) {
        self.notices.figures(status);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
