//! A service and its four backends as far as `verify` sees them, with one fault planted.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};

use crate::backends;
use crate::fake::{Fake, Reply, Request, nobody};

/// What Loki accepts when it wants credentials.
pub(crate) const LOKI_LOGIN: &str = "tenant:a-long-password";
/// The settings of local services, with the key that they accept.
const LOCAL: &str = include_str!("../../../deploy/env/local.env");

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planted {
    ServiceDown,
    LokiDown,
    TempoHangs,
    OldPrometheus,
    LokiWantsCredentials,
    TempoClockBehind,
    SomethingElseIsGrafana,
    EmptyPrometheus,
    TargetDown,
    ScrapedEveryMinute,
    CountersStandStill,
    NoCpu,
    NanAverage,
    QueryRefused,
    NoExemplars,
    PrettyLines,
    LinesLost,
    SpansLost,
    SearchFindsNothing,
    OtherSpanIds,
    LokiDegraded,
    NoTempoSource,
    LokiSourceBroken,
    PanelMissing,
    NoInference,
}

pub(crate) struct Stack {
    urls: [String; 5],
    _fakes: [Fake; 5],
}

/// What the backends know: the requests that the service has served.
pub(crate) struct Shared {
    planted: Option<Planted>,
    served: Mutex<Vec<Served>>,
}

#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) path: String,
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) at: Instant,
}

impl Stack {
    pub(crate) fn start(planted: Option<Planted>) -> Self {
        let shared = Arc::new(Shared {
            planted,
            served: Mutex::default(),
        });
        let start = |answer: fn(&Request, &Shared) -> Reply| {
            let shared = Arc::clone(&shared);
            Fake::start(move |request| answer(request, &shared))
        };
        let fakes = [
            start(service),
            start(backends::prometheus),
            start(backends::loki),
            start(backends::tempo),
            start(backends::grafana),
        ];
        let mut urls = fakes.each_ref().map(Fake::url);
        match planted {
            Some(Planted::ServiceDown) => urls[0] = nobody(),
            Some(Planted::LokiDown) => urls[2] = nobody(),
            _ => {}
        }
        Self { urls, _fakes: fakes }
    }

    pub(crate) fn arguments(&self) -> Vec<&str> {
        let names = ["--base-url", "--prometheus", "--loki", "--tempo", "--grafana"];
        let pairs = names.into_iter().zip(&self.urls);
        pairs.flat_map(|(name, url)| [name, url]).collect()
    }
}

impl Shared {
    pub(crate) fn is(&self, fault: Planted) -> bool {
        self.planted == Some(fault)
    }

    pub(crate) fn served(&self) -> Vec<Served> {
        self.served.lock().unwrap().clone()
    }
}

fn service(request: &Request, shared: &Shared) -> Reply {
    let given = request.header("traceparent").split('-').nth(1).map(str::to_owned);
    let served = Served {
        path: request.path.clone(),
        trace_id: given.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>())),
        span_id: format!("{:016x}", rand::random::<u64>()),
        at: Instant::now(),
    };
    let mut reply = page(request, shared, &served.trace_id);
    reply.headers.push(("x-trace-id", served.trace_id.clone()));
    shared.served.lock().unwrap().push(served);
    reply
}

fn page(request: &Request, shared: &Shared, trace_id: &str) -> Reply {
    let loki = if shared.is(Planted::LokiDegraded) {
        "degraded: auth"
    } else {
        "healthy"
    };
    let overall = if shared.is(Planted::LokiDegraded) {
        "degraded"
    } else {
        "healthy"
    };
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/") => Reply::json(&json!({ "name": "gatewayz-api", "version": "0.1.0" })),
        ("GET", "/health" | "/api/users/1") => Reply::json(&json!({ "status": "ok" })),
        ("GET", "/api/metrics/status") => {
            Reply::json(&json!({ "app_name": "gatewayz", "service_name": "gatewayz-api" }))
        }
        ("GET", "/api/metrics/grafana-queries") => Reply::json(&json!({
            "panels": {
                "total_requests": panel(
                    "prometheus", "fastapi", r#"sum(increase(fastapi_requests_total{app_name="gatewayz"}[1h]))"#,
                ),
                "average_response_time": panel("prometheus", "fastapi", "rate(sum[5m]) / rate(count[5m])"),
                "cpu_usage": panel("prometheus", "fastapi", "rate(process_cpu_seconds_total[5m])"),
                "memory_usage": panel("prometheus", "fastapi", "process_resident_memory_bytes"),
                "exceptions": panel("prometheus", "fastapi", "sum(increase(fastapi_exceptions_total[1h]))"),
                "logger_stream": panel("loki", "fastapi", r#"{service="gatewayz-api"}"#),
                "model_inference_rate": panel(
                    "prometheus", "inference", "rate(model_inference_requests_total[5m])",
                ),
                "provider_traces": panel(
                    "tempo", "inference", r#"{ resource.service.name = "gatewayz-api" && kind = client }"#,
                ),
                "telemetry_queue_share": panel("prometheus", "telemetry", "telemetry_exporter_queue_size_bytes"),
            },
            "loki_queries": {
                "all_logs": r#"{service="gatewayz-api"}"#,
                "error_logs": r#"{service="gatewayz-api", level="ERROR"}"#,
                "by_endpoint": r#"{service="gatewayz-api"} | json | endpoint="/health""#,
                "by_trace_id": format!("{{service=\"gatewayz-api\"}} | json | trace_id=\"{trace_id}\""),
            },
            "tempo_queries": {
                "service_traces": r#"{ resource.service.name = "gatewayz-api" }"#,
                "slow_traces": r#"{ resource.service.name = "gatewayz-api" && duration > 1s }"#,
                "by_operation": r#"{ resource.service.name = "gatewayz-api" && name = "GET /health" }"#,
            },
        })),
        ("GET", "/api/instrumentation/health") => Reply::json(&json!({
            "status": overall, "loki": { "status": loki }, "tempo": { "status": "healthy" },
        })),
        ("GET", "/api/metrics/health") => Reply::json(&json!({
            "status": overall, "components": { "loki": { "status": loki } },
        })),
        ("POST", "/api/metrics/test") if has_admin_key(request) => {
            Reply::json(&json!({ "status": "success", "verification": { "loki": { "status": "success" } } }))
        }
        ("POST", "/api/metrics/test") => Reply::text(401, r#"{"detail":"Send the admin key."}"#),
        _ => Reply::not_found(),
    }
}

fn panel(datasource: &str, dashboard: &str, query: &str) -> Value {
    json!({ "query": query, "datasource": datasource, "dashboard": format!("gatewayz-{dashboard}") })
}

fn has_admin_key(request: &Request) -> bool {
    let key = LOCAL.lines().find_map(|line| line.strip_prefix("ADMIN_API_KEY="));
    request.header("authorization").strip_prefix("Bearer ") == Some(key.unwrap())
}
