//! Grafana: its data sources reach the backends, and the dashboard is there with its panels.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Cross, Run, Tick};
use crate::http::{Fault, Server};

const SETTINGS: &str = "/api/frontend/settings";
const SEARCH: &str = "/api/search";
const DASHBOARD: &str = "FastAPI Dashboard";
const PANELS: [&str; 8] = [
    "Total Requests",
    "Requests Per Minute",
    "Errors Per Second",
    "Average Response Time",
    "Request Duration P60",
    "CPU Usage",
    "Memory Usage",
    "Logger Stream",
];

/// A kind of data source, and a question that only its backend answers.
struct Source {
    kind: &'static str,
    path: &'static str,
    query: &'static [(&'static str, &'static str)],
}

const SOURCES: [Source; 3] = [
    Source {
        kind: "prometheus",
        path: "api/v1/query",
        query: &[("query", "vector(1)")],
    },
    Source {
        kind: "loki",
        path: "loki/api/v1/labels",
        query: &[],
    },
    Source {
        kind: "tempo",
        path: "api/echo",
        query: &[],
    },
];

/// One of each type exists, and Grafana reaches its backend through it.
pub(super) fn datasources(run: &Run) -> Tick {
    let grafana = &run.stack.grafana;
    let known = known_sources(grafana)?;
    let mut reasons = Vec::new();
    for Source { kind, path, query } in SOURCES {
        let Some((_, uid)) = known.iter().find(|(known, _)| *known == kind) else {
            reasons.push(format!("there is no data source of type {kind}"));
            continue;
        };
        if let Err(fault) = grafana.successful(&format!("/api/datasources/proxy/uid/{uid}/{path}"), query) {
            reasons.push(format!("{kind} ({uid}) does not answer: {fault}"));
        }
    }
    if !reasons.is_empty() {
        return Err(Cross::new(reasons.join("; ")));
    }
    Ok("Prometheus, Loki and Tempo answer through Grafana".to_owned())
}

/// The dashboard is found by its title, has the eight panels, and names data sources that exist.
pub(super) fn dashboard(run: &Run) -> Tick {
    let grafana = &run.stack.grafana;
    let found = grafana.json(SEARCH, &[("query", DASHBOARD), ("type", "dash-db")])?;
    let found = found.as_array().ok_or_else(|| grafana.foreign(SEARCH))?;
    let is_ours = |dashboard: &&Value| dashboard.get("title").and_then(Value::as_str) == Some(DASHBOARD);
    let uid = found
        .iter()
        .find(is_ours)
        .and_then(|dashboard| dashboard.get("uid")?.as_str());
    let Some(uid) = uid else {
        return Err(Cross::new(format_args!(
            "Grafana has no dashboard called {DASHBOARD}"
        )));
    };
    let path = format!("/api/dashboards/uid/{uid}");
    let told = grafana.json(&path, &[])?;
    let panels = told
        .pointer("/dashboard/panels")
        .and_then(Value::as_array)
        .ok_or_else(|| grafana.foreign(&path))?;
    // A collapsed row holds its panels inside.
    let inner = panels
        .iter()
        .filter_map(|panel| panel.get("panels")?.as_array())
        .flatten();
    let panels: Vec<&Value> = panels.iter().chain(inner).collect();
    let has = |title: &str| {
        panels
            .iter()
            .any(|panel| panel.get("title").and_then(Value::as_str) == Some(title))
    };
    let missing: Vec<_> = PANELS.into_iter().filter(|title| !has(title)).collect();
    if !missing.is_empty() {
        return Err(Cross::new(format_args!(
            "{DASHBOARD} lacks the panel {}",
            missing.join(", ")
        )));
    }
    let known = known_sources(grafana)?;
    let dangling: BTreeSet<&str> = panels
        .iter()
        .filter_map(|panel| panel.pointer("/datasource/uid")?.as_str())
        .filter(|uid| !is_variable_or_built_in(uid) && known.iter().all(|(_, known)| known != uid))
        .collect();
    if !dangling.is_empty() {
        let uids: Vec<_> = dangling.into_iter().collect();
        return Err(Cross::new(format_args!(
            "its panels name data sources that do not exist: {}",
            uids.join(", ")
        )));
    }
    Ok(format!("{} panels at /d/{uid}", panels.len()))
}

fn is_variable_or_built_in(uid: &str) -> bool {
    uid.starts_with('$') || uid == "grafana" || uid.starts_with("-- ")
}

/// Type and uid of each data source, from the one list that anonymous viewers may read.
fn known_sources(grafana: &Server) -> Result<Vec<(String, String)>, Fault> {
    let settings = grafana.json(SETTINGS, &[])?;
    let sources = settings.get("datasources").and_then(Value::as_object);
    let text = |source: &Value, key| source.get(key).and_then(Value::as_str).map(str::to_owned);
    Ok(sources
        .ok_or_else(|| grafana.foreign(SETTINGS))?
        .values()
        .filter_map(|source| Some((text(source, "type")?, text(source, "uid")?)))
        .collect())
}
