//! Questions to Loki and Tempo.

use super::{Query, loki, tempo};

/// Questions to Loki.
pub const LOKI_QUERIES: &[Query] = &[ALL_LOGS, ERROR_LOGS, SLOW_REQUESTS, BY_ENDPOINT, BY_TRACE_ID];

/// Questions to Tempo.
pub const TEMPO_QUERIES: &[Query] = &[SERVICE_TRACES, SLOW_TRACES, ERROR_TRACES, BY_OPERATION];

/// All Logs.
pub const ALL_LOGS: Query = loki(
    "all_logs",
    "All Logs",
    r#"{service="<service>"}"#,
    "Every log line.",
);

/// Error Logs.
pub const ERROR_LOGS: Query = loki(
    "error_logs",
    "Error Logs",
    r#"{service="<service>", level="ERROR"}"#,
    "Requests answered with 5xx, and errors.",
);

/// Slow Requests.
pub const SLOW_REQUESTS: Query = loki(
    "slow_requests",
    "Slow Requests",
    r#"{service="<service>"} | json | duration_ms > 1000 | __error__="""#,
    "Requests that took more than a second.",
);

/// By Endpoint.
pub const BY_ENDPOINT: Query = loki(
    "by_endpoint",
    "By Endpoint",
    r#"{service="<service>"} | json | endpoint="/health""#,
    "Lines of one path; put yours in its place.",
);

/// By Trace ID.
pub const BY_TRACE_ID: Query = loki(
    "by_trace_id",
    "By Trace ID",
    r#"{service="<service>"} | json | trace_id="<trace_id>""#,
    "Lines of one trace: here of the request that asked.",
);

/// Service Traces.
pub const SERVICE_TRACES: Query = tempo(
    "service_traces",
    "Service Traces",
    r#"{ resource.service.name = "<service>" }"#,
    "Every trace.",
);

/// Slow Traces.
pub const SLOW_TRACES: Query = tempo(
    "slow_traces",
    "Slow Traces",
    r#"{ resource.service.name = "<service>" && duration > 1s }"#,
    "Traces with a span of more than a second.",
);

/// Error Traces.
pub const ERROR_TRACES: Query = tempo(
    "error_traces",
    "Error Traces",
    r#"{ resource.service.name = "<service>" && status = error }"#,
    "Traces with a failed span.",
);

/// By Operation.
pub const BY_OPERATION: Query = tempo(
    "by_operation",
    "By Operation",
    r#"{ resource.service.name = "<service>" && name = "GET /health" }"#,
    "Traces of one route; put yours in its place.",
);

/// Lines of one trace; none without an id, where a plain comparison would find every line without one.
pub const ONE_TRACE_LINES: Query = loki(
    "one_trace_lines",
    "Log Lines",
    r#"{service="<service>"} | trace_id="<trace_id>" | trace_id!="""#,
    "Lines of one trace.",
);

/// One trace by its id.
pub const ONE_TRACE: Query = tempo("one_trace", "One Trace", "<trace_id>", "The spans of one trace.");
