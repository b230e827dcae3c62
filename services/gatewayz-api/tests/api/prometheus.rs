//! A real Prometheus that scrapes the running service: every documented query has an answer.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gatewayz_testkit::http::Client;
use gatewayz_testkit::process::Service;
use gatewayz_testkit::skip;
use gatewayz_testkit::tools::program;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Api, spawn, wait_for};

/// Rates need some scrapes, one a second.
const DEADLINE: Duration = Duration::from_secs(60);
const PAUSE_BETWEEN_REQUESTS: Duration = Duration::from_millis(20);

/// Method, path and body.
pub(crate) type Request = (&'static str, &'static str, &'static str);

const REQUESTS: &[Request] = &[
    ("GET", "/api/users/1", ""),
    ("GET", "/no/such/path", ""),
    // No key is configured, so this is a 503.
    ("GET", "/api/instrumentation/config", ""),
    ("HEAD", "/api/users/2", ""),
    ("DELETE", "/health", ""),
];

/// Queries of the two documents that this service comes from, those that can be pasted as they stand there.
const DOCUMENTS_AS_WRITTEN: &[&str] = &[
    "fastapi_requests_total",
    "sum(rate(fastapi_requests_total[5m]))",
    "rate(fastapi_requests_total[1m]) * 60",
    "rate(fastapi_request_duration_seconds_sum[5m]) / rate(fastapi_request_duration_seconds_count[5m])",
    "histogram_quantile(0.60, rate(fastapi_request_duration_seconds_bucket[5m]))",
    "rate(fastapi_requests_duration_seconds_sum[5m]) / rate(fastapi_requests_duration_seconds_count[5m])",
    "histogram_quantile(0.60, rate(fastapi_requests_duration_seconds_bucket[5m]))",
    "rate(process_cpu_seconds_total[5m]) * 100",
    "process_resident_memory_bytes / 1024 / 1024",
];

/// The same questions as they should be asked: totals as totals, windows of several scrapes, sums before quotients.
const DOCUMENTS_CORRECTED: &[&str] = &[
    "sum(increase(fastapi_requests_total[5m]))",
    "sum by (method, path) (rate(fastapi_requests_total[1m])) * 60",
    r#"sum(rate(fastapi_requests_total{status_code=~"4..|5.."}[1m]))"#,
    r#"sum(rate(fastapi_requests_total{status_code=~"4.."}[1m]))"#,
    r#"sum(rate(fastapi_requests_total{status_code=~"5.."}[1m]))"#,
    "sum by (method, path) (rate(fastapi_request_duration_seconds_sum[5m])) \
     / sum by (method, path) (rate(fastapi_request_duration_seconds_count[5m]))",
    "histogram_quantile(0.60, sum by (le, path) (rate(fastapi_request_duration_seconds_bucket[5m])))",
    "sum by (method, path) (rate(fastapi_requests_duration_seconds_sum[5m])) \
     / sum by (method, path) (rate(fastapi_requests_duration_seconds_count[5m]))",
    "histogram_quantile(0.60, sum by (le, path) (rate(fastapi_requests_duration_seconds_bucket[5m])))",
    "100 * rate(process_cpu_seconds_total[5m]) / process_cpu_cores",
    "process_resident_memory_bytes",
];

/// The PromQL of Grafana's public dashboard 16110 with `gatewayz` for `$app_name`.
const DASHBOARD_16110: &[&str] = &[
    r#"sum(fastapi_requests_total{app_name="gatewayz", path!="/metrics"})"#,
    r#"fastapi_requests_total{app_name="gatewayz", path!="/metrics"}"#,
    r#"fastapi_requests_duration_seconds_sum{app_name="gatewayz"} / fastapi_requests_duration_seconds_count{app_name="gatewayz"}"#,
    r#"sum(fastapi_exceptions_total{app_name="gatewayz"})"#,
    r#"sum by(path) (fastapi_responses_total{app_name="gatewayz", status_code=~"2.*", path!="/metrics"}) / sum by(path) (fastapi_responses_total{app_name="gatewayz", path!="/metrics"})"#,
    r#"sum by(path) (fastapi_responses_total{app_name="gatewayz", status_code=~"5.*", path!="/metrics"}) / sum by(path) (fastapi_responses_total{app_name="gatewayz", path!="/metrics"})"#,
    r#"histogram_quantile(.99, sum(rate(fastapi_requests_duration_seconds_bucket{app_name="gatewayz", path!="/metrics"}[1m])) by(path, le))"#,
    r#"fastapi_requests_in_progress{app_name="gatewayz", path!="/metrics"}"#,
    r#"rate(fastapi_requests_total{app_name="gatewayz"}[1m])"#,
];

#[test]
fn every_documented_query_has_an_answer_and_no_scrape_fails() {
    let Some(prometheus_binary) = program("prometheus") else {
        return skip(
            "every_documented_query_has_an_answer_and_no_scrape_fails",
            "prometheus is not installed",
        );
    };
    let api = spawn(&[]);
    let _traffic = Traffic::start(api.address);
    let prometheus = Prometheus::start(&prometheus_binary, api.address);
    let written = [DOCUMENTS_AS_WRITTEN, DOCUMENTS_CORRECTED, DASHBOARD_16110].concat();
    let mut queries: Vec<String> = written.into_iter().map(str::to_owned).collect();
    queries.extend(shown_queries(&api));

    let answered = wait_for(DEADLINE, || {
        queries.retain(|query| !prometheus.answers(query));
        queries.is_empty().then_some(())
    });

    assert!(answered.is_some(), "no answer to {queries:#?}");
    let names = prometheus.get("label/app_name/values", &[("match[]", "fastapi_app_info{}")]);
    assert_eq!(names, serde_json::json!(["gatewayz"]));
    let targets = prometheus.get("targets", &[("state", "active")]);
    let target = &targets["activeTargets"][0];
    assert_eq!(target["labels"]["job"], "fastapi_backend");
    assert_eq!(
        (&target["health"], &target["lastError"]),
        (&Value::from("up"), &Value::from(""))
    );
    assert_eq!(
        prometheus.value(r#"min_over_time(up{job="fastapi_backend"}[5m])"#),
        Some(1.0)
    );
    assert!(prometheus.value(r#"count_over_time(up{job="fastapi_backend"}[5m])"#) > Some(1.0));
}

#[test]
fn an_exemplar_in_prometheus_leads_to_the_log_line_of_its_request() {
    let Some(prometheus_binary) = program("prometheus") else {
        let name = "an_exemplar_in_prometheus_leads_to_the_log_line_of_its_request";
        return skip(name, "prometheus is not installed");
    };
    let api = spawn(&[]);
    let _traffic = Traffic::start(api.address);
    let prometheus = Prometheus::start(&prometheus_binary, api.address);

    let found = wait_for(DEADLINE, || {
        let found = prometheus.exemplars("fastapi_requests_duration_seconds_bucket");
        (found.len() >= 4).then_some(found)
    });

    for series in found.unwrap() {
        let labels = &series["seriesLabels"];
        let exemplar = &series["exemplars"][0];
        let line = api.wait_for_line(|line| {
            line["trace_id"] == exemplar["labels"]["trace_id"] && line["status_code"].is_number()
        });
        assert_eq!(line["span_id"], exemplar["labels"]["span_id"]);
        assert_eq!(line["method"], labels["method"]);
        assert_eq!(
            line["status_code"].to_string(),
            labels["status_code"].as_str().unwrap()
        );
        let route = line.get("route").and_then(Value::as_str).unwrap_or("unmatched");
        assert_eq!(route, labels["path"]);
    }
}

/// The PromQL about requests and the process that the service itself offers.
#[track_caller]
fn shown_queries(api: &Api) -> Vec<String> {
    let shown: Value = serde_json::from_slice(&api.get("/api/metrics/grafana-queries").body).unwrap();
    let panels = shown["panels"].as_object().unwrap();
    // Those of the other dashboards need calls of models.
    let is_asked = |panel: &&Value| {
        (&panel["datasource"], &panel["dashboard"]) == (&"prometheus".into(), &"gatewayz-fastapi".into())
    };
    let queries: Vec<String> = panels
        .values()
        .filter(is_asked)
        .map(|panel| panel["query"].as_str().unwrap().to_owned())
        .collect();
    assert!(queries.len() > 10);
    queries
}

/// A running Prometheus that scrapes one service each second; killed when dropped.
pub(crate) struct Prometheus {
    _service: Service,
    address: SocketAddr,
    _storage: TempDir,
}

impl Prometheus {
    #[track_caller]
    pub(crate) fn start(binary: &Path, target: SocketAddr) -> Self {
        Self::start_with_rules(binary, target, &[])
    }

    /// As [`start`](Self::start), with these files of rules, computed each second.
    #[track_caller]
    pub(crate) fn start_with_rules(binary: &Path, target: SocketAddr, rules: &[PathBuf]) -> Self {
        let storage = tempfile::tempdir().unwrap();
        // A list of quoted paths is the same in YAML.
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: {rules:?}\n\
             scrape_configs:\n- job_name: fastapi_backend\n  static_configs: [{{targets: ['{target}']}}]\n"
        );
        fs::write(storage.path().join("prometheus.yml"), config).unwrap();
        let arguments = [
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=storage",
            "--web.listen-address=127.0.0.1:0",
            "--enable-feature=exemplar-storage",
        ];
        let service = Service::start(binary, &arguments, &[], storage.path()).unwrap();
        let listening = |line: &str| line.contains("msg=\"Listening on\"");
        let line = service.wait_for_stderr(DEADLINE, listening).unwrap();
        let address = line.rsplit_once("address=").unwrap().1.trim().parse().unwrap();
        let ready = |line: &str| line.contains("Server is ready");
        service.wait_for_stderr(DEADLINE, ready).unwrap();
        Self {
            _service: service,
            address,
            _storage: storage,
        }
    }

    /// `data` of an answer of the HTTP API.
    #[track_caller]
    pub(crate) fn get(&self, endpoint: &str, parameters: &[(&str, &str)]) -> Value {
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();
        let path = format!("/api/v1/{endpoint}?{query}");
        let answer = Client::connect(self.address).unwrap().get(&path, &[]).unwrap();
        assert_eq!(answer.status, 200, "{parameters:?}: {}", answer.text());
        let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["status"], "success", "{parameters:?}");
        body["data"].take()
    }

    #[track_caller]
    fn values(&self, query: &str) -> Vec<f64> {
        let data = self.get("query", &[("query", query)]);
        let series = data["result"].as_array().unwrap();
        series
            .iter()
            .map(|series| series["value"][1].as_str().unwrap().parse().unwrap())
            .collect()
    }

    /// The value of the only series.
    #[track_caller]
    fn value(&self, query: &str) -> Option<f64> {
        match self.values(query)[..] {
            [value] => Some(value),
            _ => None,
        }
    }

    /// Whether a panel with this query shows something.
    #[track_caller]
    pub(crate) fn answers(&self, query: &str) -> bool {
        let values = self.values(query);
        values.iter().any(|value| value.is_finite())
    }

    #[track_caller]
    fn exemplars(&self, query: &str) -> Vec<Value> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let (start, end) = ((now - 300).to_string(), (now + 300).to_string());
        let data = self.get(
            "query_exemplars",
            &[("query", query), ("start", &start), ("end", &end)],
        );
        data.as_array().unwrap().clone()
    }
}

/// A client that goes on asking until it is dropped, at most as long as a test may take.
pub(crate) struct Traffic {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    #[track_caller]
    pub(crate) fn start(address: SocketAddr) -> Self {
        Self::of(address, REQUESTS)
    }

    /// Sends these requests in turn; a body is JSON.
    #[track_caller]
    pub(crate) fn of(address: SocketAddr, requests: &'static [Request]) -> Self {
        let (stop, stopped) = channel::<()>();
        let thread = thread::spawn(move || {
            let started = Instant::now();
            let mut client = Client::connect(address).unwrap();
            for (method, path, body) in requests.iter().cycle() {
                let headers = [("content-type", "application/json")];
                client.request(method, path, &headers, body.as_bytes()).unwrap();
                // An error other than a timeout means that the sender is gone.
                let goes_on = stopped.recv_timeout(PAUSE_BETWEEN_REQUESTS) == Err(RecvTimeoutError::Timeout);
                if !goes_on || started.elapsed() > 2 * DEADLINE {
                    break;
                }
            }
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.take();
        let ended = self.thread.take().unwrap().join();
        if !thread::panicking() {
            ended.unwrap();
        }
    }
}
