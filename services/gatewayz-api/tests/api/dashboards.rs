//! Dashboards and rules against a real Prometheus that scrapes the running service, and against Grafana's grammars.

mod expression;
mod schema;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use gatewayz_testkit::otlp::Receiver;
use gatewayz_testkit::skip;
use gatewayz_testkit::tools::{node_modules_with, program};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Api, repository, spawn_in, wait_for};
use crate::prometheus::{Prometheus, Request, Traffic};
use expression::Expression;

/// Rules look at what other rules recorded, and everything is computed once a second.
const DEADLINE: Duration = Duration::from_secs(120);
const RULES: [&str; 3] = ["objectives.yml", "service.yml", "telemetry.yml"];
const GRAMMARS: [&str; 2] = ["@grafana/lezer-logql", "@grafana/lezer-traceql"];

/// A model that answers and costs, one that is cached, and one whose provider nobody runs.
const CATALOG: &str = r#"
[[providers]]
name = "echo"
kind = "echo"

[[providers]]
name = "gone"
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
probe = false

[[models]]
id = "echo"
candidates = [{ provider = "echo", model = "echo", price = { input = 2, cached_input = 0.5, output = 8 } }]

[[models]]
id = "kept"
cache = { always = true }
candidates = [{ provider = "echo", model = "echo", price = { input = 2, cached_input = 0.5, output = 8 } }]

[[models]]
id = "gone"
candidates = [{ provider = "gone", model = "m" }]
"#;

const REQUESTS: &[Request] = &[
    ("GET", "/api/users/1", ""),
    ("GET", "/no/such/path", ""),
    ("GET", "/v1/models", ""),
    (
        "POST",
        "/v1/chat/completions",
        r#"{"model":"echo","messages":[{"role":"user","content":"x"}]}"#,
    ),
    (
        "POST",
        "/v1/chat/completions",
        r#"{"model":"echo","stream":true,"messages":[{"role":"user","content":"x"}]}"#,
    ),
    (
        "POST",
        "/v1/chat/completions",
        r#"{"model":"kept","messages":[{"role":"user","content":"x"}]}"#,
    ),
    (
        "POST",
        "/v1/chat/completions",
        r#"{"model":"gone","messages":[{"role":"user","content":"x"}]}"#,
    ),
];

/// A query of a panel with its legend.
struct Shown {
    datasource: String,
    text: String,
    legend: String,
}

#[test]
fn every_expression_of_dashboards_and_rules_has_an_answer_and_names_what_the_service_exposes() {
    let Some(binary) = program("prometheus") else {
        return skip(
            "every_expression_of_dashboards_and_rules_has_an_answer_and_names_what_the_service_exposes",
            "prometheus is not installed",
        );
    };
    let receiver = Receiver::start();
    let (api, _directory) = serving(&receiver.grpc_endpoint());
    let _traffic = Traffic::of(api.address, REQUESTS);
    let rules: Vec<PathBuf> = RULES.iter().map(|name| rules_folder().join(name)).collect();
    let prometheus = Prometheus::start_with_rules(&binary, api.address, &rules);
    let recorded = rules_of(&prometheus);
    let panels: Vec<Shown> = shown()
        .into_iter()
        .filter(|query| query.datasource == "prometheus")
        .collect();
    let mut asked: BTreeSet<String> = panels.iter().map(|panel| panel.text.clone()).collect();
    asked.extend(listed(&api, "prometheus"));
    for rule in &recorded {
        let query = rule["query"].as_str().unwrap();
        if rule["type"] == "recording" {
            asked.insert(query.to_owned());
            asked.insert(rule["name"].as_str().unwrap().to_owned());
        } else {
            asked.extend(Expression::of(query).selectors);
        }
    }
    assert!(asked.len() > 60, "{}", asked.len());

    let mut open: Vec<&String> = asked.iter().collect();
    let answered = wait_for(DEADLINE, || {
        open.retain(|query| !prometheus.answers(query));
        open.is_empty().then_some(())
    });
    assert!(answered.is_some(), "no answer to {open:#?}");

    let exposed = api.scrape();
    let known: BTreeSet<String> = prometheus
        .get("labels", &[])
        .as_array()
        .unwrap()
        .iter()
        .map(|label| label.as_str().unwrap().to_owned())
        .collect();
    for query in &asked {
        let expression = Expression::of(query);
        for name in &expression.metrics {
            let is_made_here = name.contains(':') || name == "up";
            assert!(
                is_made_here || exposed.series_count(name) > 0,
                "{name} of {query}"
            );
        }
        for label in &expression.labels {
            assert!(known.contains(label), "{label} of {query}");
        }
    }
    for panel in &panels {
        let series = prometheus.get("query", &[("query", &panel.text)]);
        for label in labels_of(&panel.legend) {
            let has = |one: &Value| one["metric"].get(label).is_some();
            assert!(
                series["result"].as_array().unwrap().iter().any(has),
                "{label} of {}",
                panel.text
            );
        }
    }
    for rule in rules_of(&prometheus) {
        assert_eq!(
            (&rule["health"], rule.get("lastError")),
            (&json!("ok"), None),
            "{rule}"
        );
    }
}

#[test]
fn promtool_accepts_the_rules_and_each_alert_fires_when_it_should_and_only_then() {
    let Some(promtool) = program("promtool") else {
        return skip(
            "promtool_accepts_the_rules_and_each_alert_fires_when_it_should_and_only_then",
            "promtool is not installed",
        );
    };
    let tests: Vec<PathBuf> = fs::read_dir(rules_folder().join("tests"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();

    for (task, files) in [
        ("check", RULES.map(PathBuf::from).to_vec()),
        ("test", tests.clone()),
    ] {
        let output = Command::new(&promtool)
            .args([task, "rules"])
            .args(files)
            .current_dir(rules_folder())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let texts: String = tests
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    for alert in alerts() {
        let checks: Vec<&str> = texts
            .split(&format!("ALERTS{{alertname=\"{alert}\","))
            .skip(1)
            .collect();
        let is_silent = |rest: &&str| rest.split("- expr").next().unwrap().contains("exp_samples: []");
        assert!(checks.iter().any(is_silent), "{alert} is not seen silent");
        assert!(
            checks.iter().any(|rest| !is_silent(rest)),
            "{alert} is not seen firing"
        );
    }
}

#[test]
fn every_alert_says_what_happened_and_where_its_paragraph_is() {
    let operations = fs::read_to_string(repository().join("docs/OPERATIONS.md")).unwrap();

    let alerts = alerts();

    assert!(alerts.len() > 10, "{alerts:?}");
    for file in RULES {
        let text = fs::read_to_string(rules_folder().join(file)).unwrap();
        for part in text.split("- alert: ").skip(1) {
            let alert = part.lines().next().unwrap();
            let link = format!("runbook_url: docs/OPERATIONS.md#{}\n", alert.to_lowercase());
            for needed in ["severity: ", "summary: ", "description: ", &link] {
                assert!(part.contains(needed), "{alert} has no {needed}");
            }
            assert!(
                operations.contains(&format!("\n### {alert}\n")),
                "{alert} has no paragraph"
            );
        }
    }
}

#[test]
fn logql_and_traceql_of_panels_and_of_the_table_parse() {
    const NAME: &str = "logql_and_traceql_of_panels_and_of_the_table_parse";
    let (modules, node) = match (node_modules_with(&GRAMMARS), program("node")) {
        (Ok(modules), Some(node)) => (modules, node),
        (Err(reason), _) => return skip(NAME, &reason),
        (_, None) => return skip(NAME, "node is not on the PATH"),
    };
    let (api, _directory) = serving("http://127.0.0.1:9");
    let of_table = |language: &'static str| {
        let queries = listed(&api, language).into_iter();
        queries.map(move |query| json!({ "language": language, "query": query }))
    };
    let of_panels = shown()
        .into_iter()
        .filter(|query| query.datasource != "prometheus");
    // A lone trace id is no TraceQL; Grafana looks it up.
    let of_panels = of_panels.filter(|query| query.text.starts_with('{'));
    let queries: Vec<String> = of_panels
        .map(|query| json!({ "language": query.datasource, "query": query.text }))
        .chain(of_table("loki"))
        .chain(of_table("tempo"))
        .map(|query| query.to_string())
        .collect();

    let mut child = Command::new(node)
        .arg(repository().join("services/gatewayz-api/tests/dashboards/grammars.cjs"))
        .env("NODE_PATH", modules)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(queries.join("\n").as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();

    assert!(queries.len() >= 14, "{queries:#?}");
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

/// A service with the catalog of these tests that exports its spans.
#[track_caller]
fn serving(otlp: &str) -> (Api, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("catalog.toml"), CATALOG).unwrap();
    let environment = [
        ("CATALOG_FILE", "catalog.toml"),
        ("TEMPO_OTLP_GRPC_ENDPOINT", otlp),
    ];
    (spawn_in(directory.path(), &environment), directory)
}

fn rules_folder() -> PathBuf {
    repository().join("deploy/prometheus/rules")
}

#[track_caller]
fn alerts() -> BTreeSet<String> {
    let texts = RULES.map(|file| fs::read_to_string(rules_folder().join(file)).unwrap());
    let lines = texts.iter().flat_map(|text| text.lines());
    lines
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .map(str::to_owned)
        .collect()
}

/// Every rule that this Prometheus evaluates.
#[track_caller]
fn rules_of(prometheus: &Prometheus) -> Vec<Value> {
    let groups = prometheus.get("rules", &[]);
    let groups = groups["groups"].as_array().unwrap();
    groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect()
}

/// Every query in this language that the service offers to paste.
#[track_caller]
fn listed(api: &Api, datasource: &str) -> Vec<String> {
    let listing: Value = serde_json::from_slice(&api.get("/api/metrics/grafana-queries").body).unwrap();
    let panels = listing["panels"].as_object().unwrap().values();
    let of_panels = panels
        .filter(|panel| panel["datasource"] == datasource)
        .map(|panel| &panel["query"]);
    let others = listing
        .get(format!("{datasource}_queries"))
        .and_then(Value::as_object);
    let queries: Vec<String> = of_panels
        .chain(others.into_iter().flat_map(|queries| queries.values()))
        .map(|query| query.as_str().unwrap().to_owned())
        .collect();
    assert!(!queries.is_empty());
    queries
}

/// Every query of the committed dashboards, with values for the variables.
#[track_caller]
fn shown() -> Vec<Shown> {
    let folder = repository().join("deploy/grafana/dashboards");
    let mut queries = Vec::new();
    for name in ["fastapi", "inference", "telemetry"] {
        let text = fs::read_to_string(folder.join(format!("gatewayz-{name}.json"))).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let text = target.get("expr").unwrap_or(&target["query"]).as_str().unwrap();
                queries.push(Shown {
                    datasource: target["datasource"]["uid"].as_str().unwrap().to_owned(),
                    text: with_values(text),
                    legend: target["legendFormat"].as_str().unwrap_or_default().to_owned(),
                });
            }
        }
    }
    assert!(queries.len() > 50);
    queries
}

/// The query with what a user would have chosen; scrapes come once a second here.
fn with_values(text: &str) -> String {
    let variables = [
        ("$__rate_interval", "10s"),
        ("$__range", "1m"),
        ("$app", "gatewayz"),
        ("$method", ".+"),
        ("$path", ".+"),
        ("$provider", ".+"),
        ("$model", ".+"),
        ("$service", "gatewayz-api"),
        ("$trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
    ];
    let text = variables
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    assert!(!text.contains('$'), "{text}");
    text
}

/// The labels that a legend names.
fn labels_of(legend: &str) -> Vec<&str> {
    let parts = legend.split("{{").skip(1);
    parts.map(|part| part.split("}}").next().unwrap()).collect()
}
