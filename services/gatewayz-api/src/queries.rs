//! The one table of queries: what `/api/metrics/grafana-queries` shows and what dashboards are made of.

/// Where a query is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datasource {
    /// PromQL.
    Prometheus,
    /// LogQL.
    Loki,
    /// TraceQL.
    Tempo,
}

/// One query with what a panel needs to show it.
///
/// The expression has placeholders for what differs between a dashboard and a query to paste: `<app>` (a matcher),
/// `<service>`, `<rate>` and `<range>` (windows), `<trace_id>`. [`Query::filled`] replaces them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// Key in JSON answers.
    pub key: &'static str,
    /// Title of the panel.
    pub title: &'static str,
    /// Where it is asked.
    pub datasource: Datasource,
    /// The query, with placeholders.
    pub expression: &'static str,
    /// Grafana's name of the unit; empty without one.
    pub unit: &'static str,
    /// Name of each line in Grafana's notation; empty for a single value.
    pub legend: &'static str,
    /// What the value means.
    pub description: &'static str,
}

/// What takes the places of a query's placeholders. Texts may be Grafana variables such as `$app_name`.
#[derive(Debug, Clone, Copy)]
pub struct Fill<'a> {
    /// `app_name` of the metrics.
    pub app_name: &'a str,
    /// `service` of the log lines, `service.name` of the traces.
    pub service_name: &'a str,
    /// Window of a rate: at least four scrapes long, or `$__rate_interval`.
    pub rate_window: &'a str,
    /// Window of a total, or `$__range`.
    pub range: &'a str,
    /// 32 hexadecimal digits.
    pub trace_id: &'a str,
}

impl Query {
    /// The query without placeholders.
    #[must_use]
    pub fn filled(&self, fill: &Fill<'_>) -> String {
        self.expression
            .replace("<app>", &format!("app_name=\"{}\"", escaped(fill.app_name)))
            .replace("<service>", &escaped(fill.service_name))
            .replace("<rate>", fill.rate_window)
            .replace("<range>", fill.range)
            .replace("<trace_id>", fill.trace_id)
    }
}

/// Panels of the dashboards.
pub const PANELS: &[Query] = &[
    Query {
        unit: "short",
        ..prometheus(
            "total_requests",
            "Total Requests",
            "sum(increase(fastapi_requests_total{<app>}[<range>]))",
            "Requests answered within the window.",
        )
    },
    Query {
        unit: "reqpm",
        legend: "{{method}} {{path}}",
        ..prometheus(
            "requests_per_minute",
            "Requests Per Minute",
            "sum by (method, path) (rate(fastapi_requests_total{<app>}[<rate>])) * 60",
            "Requests a minute by route template.",
        )
    },
    Query {
        unit: "reqps",
        legend: "5xx",
        ..prometheus(
            "errors_per_second",
            "Errors Per Second",
            r#"sum(rate(fastapi_requests_total{<app>, status_code=~"5.."}[<rate>])) or vector(0)"#,
            "Requests that this service failed, a second.",
        )
    },
    Query {
        unit: "reqps",
        legend: "4xx",
        ..prometheus(
            "client_errors_per_second",
            "Client Errors Per Second",
            r#"sum(rate(fastapi_requests_total{<app>, status_code=~"4.."}[<rate>])) or vector(0)"#,
            "Requests refused for a mistake of the caller, or given up by it, a second.",
        )
    },
    Query {
        unit: "s",
        legend: "{{method}} {{path}}",
        ..prometheus(
            "average_response_time",
            "Average Response Time",
            "sum by (method, path) (rate(fastapi_requests_duration_seconds_sum{<app>}[<rate>])) \
             / sum by (method, path) (rate(fastapi_requests_duration_seconds_count{<app>}[<rate>]))",
            "Mean time from the request's head to the last byte of its answer.",
        )
    },
    Query {
        unit: "s",
        legend: "P50 {{method}} {{path}}",
        ..prometheus(
            "request_duration_p50",
            "Request Duration P50",
            "histogram_quantile(0.50, sum by (le, method, path) (rate(fastapi_requests_duration_seconds_bucket{<app>}[<rate>])))",
            "Half of the requests are answered within this time.",
        )
    },
    Query {
        unit: "s",
        legend: "P60 {{method}} {{path}}",
        ..prometheus(
            "request_duration_p60",
            "Request Duration P60",
            "histogram_quantile(0.60, sum by (le, method, path) (rate(fastapi_requests_duration_seconds_bucket{<app>}[<rate>])))",
            "60 % of the requests are answered within this time.",
        )
    },
    Query {
        unit: "s",
        legend: "P95 {{method}} {{path}}",
        ..prometheus(
            "request_duration_p95",
            "Request Duration P95",
            "histogram_quantile(0.95, sum by (le, method, path) (rate(fastapi_requests_duration_seconds_bucket{<app>}[<rate>])))",
            "95 % of the requests are answered within this time.",
        )
    },
    Query {
        unit: "s",
        legend: "P99 {{method}} {{path}}",
        ..prometheus(
            "request_duration_p99",
            "Request Duration P99",
            "histogram_quantile(0.99, sum by (le, method, path) (rate(fastapi_requests_duration_seconds_bucket{<app>}[<rate>])))",
            "99 % of the requests are answered within this time.",
        )
    },
    Query {
        unit: "percent",
        legend: "{{instance}}",
        ..prometheus(
            "cpu_usage",
            "CPU Usage",
            "100 * rate(process_cpu_seconds_total[<rate>]) / process_cpu_cores \
             and on (job, instance) fastapi_app_info{<app>}",
            "CPU time as a share of the cores the process may use.",
        )
    },
    Query {
        unit: "bytes",
        legend: "{{instance}}",
        ..prometheus(
            "memory_usage",
            "Memory Usage",
            "process_resident_memory_bytes and on (job, instance) fastapi_app_info{<app>}",
            "Memory of the process that is in RAM.",
        )
    },
    Query {
        unit: "short",
        legend: "{{method}} {{path}}",
        ..prometheus(
            "requests_in_progress",
            "Requests In Progress",
            "sum by (method, path) (fastapi_requests_in_progress{<app>})",
            "Requests being served at the moment.",
        )
    },
    Query {
        unit: "short",
        legend: "{{exception_type}} {{path}}",
        ..prometheus(
            "exceptions",
            "Exceptions",
            "sum by (exception_type, path) (increase(fastapi_exceptions_total{<app>}[<range>]))",
            "Panics and unexpected errors within the window.",
        )
    },
    loki(
        "logger_stream",
        "Logger Stream",
        r#"{service="<service>"}"#,
        "Every log line.",
    ),
];

/// Questions to Loki.
pub const LOKI_QUERIES: &[Query] = &[
    loki(
        "all_logs",
        "All Logs",
        r#"{service="<service>"}"#,
        "Every log line.",
    ),
    loki(
        "error_logs",
        "Error Logs",
        r#"{service="<service>", level="ERROR"}"#,
        "Requests answered with 5xx, and errors.",
    ),
    loki(
        "slow_requests",
        "Slow Requests",
        r#"{service="<service>"} | json | duration_ms > 1000 | __error__="""#,
        "Requests that took more than a second.",
    ),
    loki(
        "by_endpoint",
        "By Endpoint",
        r#"{service="<service>"} | json | endpoint="/health""#,
        "Lines of one path; put yours in its place.",
    ),
    loki(
        "by_trace_id",
        "By Trace ID",
        r#"{service="<service>"} | json | trace_id="<trace_id>""#,
        "Lines of one trace: here of the request that asked.",
    ),
];

/// Questions to Tempo.
pub const TEMPO_QUERIES: &[Query] = &[
    tempo(
        "service_traces",
        "Service Traces",
        r#"{ resource.service.name = "<service>" }"#,
        "Every trace.",
    ),
    tempo(
        "slow_traces",
        "Slow Traces",
        r#"{ resource.service.name = "<service>" && duration > 1s }"#,
        "Traces with a span of more than a second.",
    ),
    tempo(
        "error_traces",
        "Error Traces",
        r#"{ resource.service.name = "<service>" && status = error }"#,
        "Traces with a failed span.",
    ),
    tempo(
        "by_operation",
        "By Operation",
        r#"{ resource.service.name = "<service>" && name = "GET /health" }"#,
        "Traces of one route; put yours in its place.",
    ),
];

const fn prometheus(
    key: &'static str,
    title: &'static str,
    expression: &'static str,
    description: &'static str,
) -> Query {
    Query {
        key,
        title,
        datasource: Datasource::Prometheus,
        expression,
        unit: "",
        legend: "",
        description,
    }
}

const fn loki(
    key: &'static str,
    title: &'static str,
    expression: &'static str,
    description: &'static str,
) -> Query {
    Query {
        datasource: Datasource::Loki,
        ..prometheus(key, title, expression, description)
    }
}

const fn tempo(
    key: &'static str,
    title: &'static str,
    expression: &'static str,
    description: &'static str,
) -> Query {
    Query {
        datasource: Datasource::Tempo,
        ..prometheus(key, title, expression, description)
    }
}

/// The inside of a double-quoted text, the same in all three languages.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests;
