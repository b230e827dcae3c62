//! What is asked about the delivery of telemetry.

use super::{Query, loki, prometheus};

/// Panels of the dashboard of telemetry.
pub const TELEMETRY: &[Query] = &[
    TELEMETRY_LOST,
    TELEMETRY_LAST_SUCCESS,
    TELEMETRY_QUEUE_SHARE,
    TELEMETRY_DELIVERED_LINES,
    TELEMETRY_DELIVERED_SPANS,
    TELEMETRY_LOST_RATE,
    TELEMETRY_QUEUE_BYTES,
    TELEMETRY_QUEUE_RECORDS,
    TELEMETRY_RETRIES,
    TELEMETRY_ATTEMPT_P95,
    TELEMETRY_LATENCY_P95,
    TELEMETRY_LINES,
    TELEMETRY_OVERFLOW,
    TELEMETRY_TRUNCATED,
    TELEMETRY_SUPPRESSED,
    TELEMETRY_LIMITED,
    TELEMETRY_PANICS,
    DELIVERY_LINES,
];

/// Lost Records.
pub const TELEMETRY_LOST: Query = Query {
    unit: "short",
    legend: "{{exporter}}",
    ..prometheus(
        "telemetry_lost",
        "Lost Records",
        r#"sum by (exporter) ((increase(telemetry_exporter_enqueue_failed_log_records_total{reason!="self_notice"}[<range>]) or increase(telemetry_exporter_send_failed_log_records_total{reason!="self_notice"}[<range>]) or increase(telemetry_exporter_enqueue_failed_spans_total{reason!="self_notice"}[<range>]) or increase(telemetry_exporter_send_failed_spans_total{reason!="self_notice"}[<range>])) <own_once>)"#,
        "Log lines and spans within the window that did not reach their destination.",
    )
};

/// Since Last Delivery.
pub const TELEMETRY_LAST_SUCCESS: Query = Query {
    unit: "s",
    legend: "{{exporter}}",
    ..prometheus(
        "telemetry_last_success",
        "Since Last Delivery",
        "time() - max by (exporter) (telemetry_exporter_last_success_timestamp_seconds > 0 <own>)",
        "Time since the destination last took a batch; nothing before the first.",
    )
};

/// Queue Fill.
pub const TELEMETRY_QUEUE_SHARE: Query = Query {
    unit: "percentunit",
    legend: "{{exporter}}",
    ..prometheus(
        "telemetry_queue_share",
        "Queue Fill",
        "max by (exporter) (telemetry_exporter_queue_size_bytes / (telemetry_exporter_queue_capacity_bytes > 0) <own>)",
        "Share of the queue in use at the fullest replica. From 80 % on DEBUG and INFO are dropped.",
    )
};

/// Lines Delivered Per Second.
pub const TELEMETRY_DELIVERED_LINES: Query = Query {
    unit: "short",
    legend: "lines {{exporter}}",
    ..prometheus(
        "telemetry_delivered_lines",
        "Lines Delivered Per Second",
        "sum by (exporter) (rate(telemetry_exporter_sent_log_records_total[<rate>]) <own>)",
        "Log lines that the destination has, a second.",
    )
};

/// Spans Delivered Per Second.
pub const TELEMETRY_DELIVERED_SPANS: Query = Query {
    unit: "short",
    legend: "spans {{exporter}}",
    ..prometheus(
        "telemetry_delivered_spans",
        "Spans Delivered Per Second",
        "sum by (exporter) (rate(telemetry_exporter_sent_spans_total[<rate>]) <own>)",
        "Spans that the destination has, a second.",
    )
};

/// Lost Records Per Second.
pub const TELEMETRY_LOST_RATE: Query = Query {
    unit: "short",
    legend: "{{exporter}} {{reason}}",
    ..prometheus(
        "telemetry_lost_rate",
        "Lost Records Per Second",
        r#"sum by (exporter, reason) ((rate(telemetry_exporter_enqueue_failed_log_records_total{reason!="self_notice"}[<rate>]) or rate(telemetry_exporter_send_failed_log_records_total{reason!="self_notice"}[<rate>]) or rate(telemetry_exporter_enqueue_failed_spans_total{reason!="self_notice"}[<rate>]) or rate(telemetry_exporter_send_failed_spans_total{reason!="self_notice"}[<rate>])) <own>)"#,
        "Log lines and spans lost a second, by reason (docs/OPERATIONS.md).",
    )
};

/// Queued Bytes.
pub const TELEMETRY_QUEUE_BYTES: Query = Query {
    unit: "bytes",
    legend: "{{exporter}}",
    ..prometheus(
        "telemetry_queue_bytes",
        "Queued Bytes",
        "sum by (exporter) (telemetry_exporter_queue_size_bytes <own>)",
        "Bytes of records waiting or in flight.",
    )
};

/// Queued Records.
pub const TELEMETRY_QUEUE_RECORDS: Query = Query {
    unit: "short",
    legend: "{{exporter}}",
    ..prometheus(
        "telemetry_queue_records",
        "Queued Records",
        "sum by (exporter) (telemetry_exporter_queue_size <own>)",
        "Records waiting or in flight.",
    )
};

/// Retries Per Second.
pub const TELEMETRY_RETRIES: Query = Query {
    unit: "short",
    legend: "{{exporter}} {{status}}",
    ..prometheus(
        "telemetry_retries",
        "Retries Per Second",
        "sum by (exporter, status) (rate(telemetry_exporter_retries_total[<rate>]) <own>)",
        "Attempts that were repeated, a second, by the status that made it necessary.",
    )
};

/// Attempt Duration P95.
pub const TELEMETRY_ATTEMPT_P95: Query = Query {
    unit: "s",
    legend: "{{exporter}} {{status}}",
    ..prometheus(
        "telemetry_attempt_p95",
        "Attempt Duration P95",
        "histogram_quantile(0.95, sum by (le, exporter, status) (rate(telemetry_exporter_request_duration_seconds_bucket[<rate>]) <own>))",
        "95 % of the attempts to send a batch end within this time.",
    )
};

/// Delivery Latency P95.
pub const TELEMETRY_LATENCY_P95: Query = Query {
    unit: "s",
    legend: "{{exporter}}",
    ..prometheus(
        "telemetry_latency_p95",
        "Delivery Latency P95",
        "histogram_quantile(0.95, sum by (le, exporter) (rate(telemetry_propagation_latency_seconds_bucket[<rate>]) <own>))",
        "95 % of the batches arrive within this time of their oldest record.",
    )
};

/// Log Lines Per Second.
pub const TELEMETRY_LINES: Query = Query {
    unit: "short",
    legend: "{{level}}",
    ..prometheus(
        "telemetry_lines",
        "Log Lines Per Second",
        "sum by (level) (rate(telemetry_log_records_total[<rate>]) <own>)",
        "Log lines made, a second, by level.",
    )
};

/// Label Overflow.
pub const TELEMETRY_OVERFLOW: Query = Query {
    unit: "short",
    legend: "{{metric}}",
    ..prometheus(
        "telemetry_overflow",
        "Label Overflow",
        "sum by (metric) (increase(telemetry_label_overflow_total[<range>]) <own_once>)",
        "Samples within the window that went to the series __other__ of a metric.",
    )
};

/// Truncated Attributes.
pub const TELEMETRY_TRUNCATED: Query = Query {
    unit: "short",
    legend: "{{signal}}",
    ..prometheus(
        "telemetry_truncated",
        "Truncated Attributes",
        "sum by (signal) (increase(telemetry_attributes_truncated_total[<range>]) <own_once>)",
        "Fields of log lines and attributes of spans within the window that were cut or left out.",
    )
};

/// Suppressed Events.
pub const TELEMETRY_SUPPRESSED: Query = Query {
    unit: "short",
    legend: "events",
    ..prometheus(
        "telemetry_suppressed",
        "Suppressed Events",
        "sum(increase(telemetry_events_suppressed_total[<range>]) <own_once>)",
        "Events within the window left out by LOG_EVENTS_PER_SECOND.",
    )
};

/// Limited Traces.
pub const TELEMETRY_LIMITED: Query = Query {
    unit: "short",
    legend: "traces",
    ..prometheus(
        "telemetry_limited",
        "Limited Traces",
        "sum(increase(telemetry_incoming_traces_limited_total[<range>]) <own_once>)",
        "Traces within the window that were not kept although their caller asked.",
    )
};

/// Panics.
pub const TELEMETRY_PANICS: Query = Query {
    unit: "short",
    ..prometheus(
        "telemetry_panics",
        "Panics",
        "sum(increase(panics_total[<range>]) <own_once>)",
        "Panics within the window, caught or not.",
    )
};

/// Lines About Delivery.
pub const DELIVERY_LINES: Query = loki(
    "delivery_lines",
    "Lines About Delivery",
    r#"{service="<service>"} | json | target="gatewayz::delivery" | __error__="""#,
    "Trouble with a destination: when it began, while it lasts, when it was over.",
);
