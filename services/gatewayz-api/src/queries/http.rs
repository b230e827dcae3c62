//! What is asked about requests and the process.

use super::{Query, loki, prometheus};

/// Panels of the FastAPI Dashboard.
pub const PANELS: &[Query] = &[
    TOTAL_REQUESTS,
    REQUESTS_PER_MINUTE,
    ERRORS_PER_SECOND,
    CLIENT_ERRORS_PER_SECOND,
    AVERAGE_RESPONSE_TIME,
    REQUEST_DURATION_P50,
    REQUEST_DURATION_P60,
    REQUEST_DURATION_P95,
    REQUEST_DURATION_P99,
    CPU_USAGE,
    CPU_CORES_USED,
    CPU_CORES,
    MEMORY_USAGE,
    REQUESTS_IN_PROGRESS,
    EXCEPTIONS,
    LOGGER_STREAM,
];

/// Total Requests.
pub const TOTAL_REQUESTS: Query = Query {
    unit: "short",
    ..prometheus(
        "total_requests",
        "Total Requests",
        "sum(increase(fastapi_requests_total{<http>}[<range>]))",
        "Requests answered within the window.",
    )
};

/// Requests Per Minute.
pub const REQUESTS_PER_MINUTE: Query = Query {
    unit: "reqpm",
    legend: "{{method}} {{path}}",
    ..prometheus(
        "requests_per_minute",
        "Requests Per Minute",
        "sum by (method, path) (rate(fastapi_requests_total{<http>}[<rate>])) * 60",
        "Requests a minute by route template.",
    )
};

/// Errors Per Second.
pub const ERRORS_PER_SECOND: Query = Query {
    unit: "reqps",
    legend: "5xx",
    ..prometheus(
        "errors_per_second",
        "Errors Per Second",
        r#"sum(rate(fastapi_requests_total{<http>, status_code=~"5.."}[<rate>])) or vector(0)"#,
        "Requests that this service failed, a second.",
    )
};

/// Client Errors Per Second.
pub const CLIENT_ERRORS_PER_SECOND: Query = Query {
    unit: "reqps",
    legend: "4xx",
    ..prometheus(
        "client_errors_per_second",
        "Client Errors Per Second",
        r#"sum(rate(fastapi_requests_total{<http>, status_code=~"4.."}[<rate>])) or vector(0)"#,
        "Requests refused for a mistake of the caller, or given up by it, a second.",
    )
};

/// Average Response Time.
pub const AVERAGE_RESPONSE_TIME: Query = Query {
    unit: "s",
    legend: "{{method}} {{path}}",
    ..prometheus(
        "average_response_time",
        "Average Response Time",
        "sum by (method, path) (rate(fastapi_requests_duration_seconds_sum{<http>}[<rate>])) / sum by (method, path) (rate(fastapi_requests_duration_seconds_count{<http>}[<rate>]))",
        "Mean time from the request's head to the last byte of its answer.",
    )
};

/// Request Duration P50.
pub const REQUEST_DURATION_P50: Query = Query {
    unit: "s",
    legend: "P50 {{method}} {{path}}",
    ..prometheus(
        "request_duration_p50",
        "Request Duration P50",
        "histogram_quantile(0.50, sum by (le, method, path) (rate(fastapi_requests_duration_seconds_bucket{<http>}[<rate>])))",
        "Half of the requests are answered within this time.",
    )
};

/// Request Duration P60.
pub const REQUEST_DURATION_P60: Query = Query {
    unit: "s",
    legend: "P60 {{method}} {{path}}",
    ..prometheus(
        "request_duration_p60",
        "Request Duration P60",
        "histogram_quantile(0.60, sum by (le, method, path) (rate(fastapi_requests_duration_seconds_bucket{<http>}[<rate>])))",
        "60 % of the requests are answered within this time.",
    )
};

/// Request Duration P95.
pub const REQUEST_DURATION_P95: Query = Query {
    unit: "s",
    legend: "P95 {{method}} {{path}}",
    ..prometheus(
        "request_duration_p95",
        "Request Duration P95",
        "histogram_quantile(0.95, sum by (le, method, path) (rate(fastapi_requests_duration_seconds_bucket{<http>}[<rate>])))",
        "95 % of the requests are answered within this time.",
    )
};

/// Request Duration P99.
pub const REQUEST_DURATION_P99: Query = Query {
    unit: "s",
    legend: "P99 {{method}} {{path}}",
    ..prometheus(
        "request_duration_p99",
        "Request Duration P99",
        "histogram_quantile(0.99, sum by (le, method, path) (rate(fastapi_requests_duration_seconds_bucket{<http>}[<rate>])))",
        "99 % of the requests are answered within this time.",
    )
};

/// CPU Usage.
pub const CPU_USAGE: Query = Query {
    unit: "percent",
    legend: "{{instance}}",
    ..prometheus(
        "cpu_usage",
        "CPU Usage",
        "100 * rate(process_cpu_seconds_total[<rate>]) / process_cpu_cores <own>",
        "CPU time as a share of the cores the process may use.",
    )
};

/// CPU Cores Used.
pub const CPU_CORES_USED: Query = Query {
    unit: "short",
    legend: "used {{instance}}",
    ..prometheus(
        "cpu_cores_used",
        "CPU Cores Used",
        "rate(process_cpu_seconds_total[<rate>]) <own>",
        "Cores that the process keeps busy.",
    )
};

/// CPU Cores.
pub const CPU_CORES: Query = Query {
    unit: "short",
    legend: "available {{instance}}",
    ..prometheus(
        "cpu_cores",
        "CPU Cores",
        "process_cpu_cores <own>",
        "Cores that the process may use, container limits included.",
    )
};

/// Memory Usage.
pub const MEMORY_USAGE: Query = Query {
    unit: "bytes",
    legend: "{{instance}}",
    ..prometheus(
        "memory_usage",
        "Memory Usage",
        "process_resident_memory_bytes <own>",
        "Memory of the process that is in RAM.",
    )
};

/// Requests In Progress.
pub const REQUESTS_IN_PROGRESS: Query = Query {
    unit: "short",
    legend: "{{method}} {{path}}",
    ..prometheus(
        "requests_in_progress",
        "Requests In Progress",
        "sum by (method, path) (fastapi_requests_in_progress{<http>})",
        "Requests being served at the moment.",
    )
};

/// Exceptions.
pub const EXCEPTIONS: Query = Query {
    unit: "short",
    legend: "{{exception_type}} {{path}}",
    ..prometheus(
        "exceptions",
        "Exceptions",
        "sum by (exception_type, path) (increase(fastapi_exceptions_total{<http>}[<range>]))",
        "Panics and unexpected errors within the window.",
    )
};

/// Logger Stream.
pub const LOGGER_STREAM: Query = loki(
    "logger_stream",
    "Logger Stream",
    r#"{service="<service>"}"#,
    "Every log line.",
);
