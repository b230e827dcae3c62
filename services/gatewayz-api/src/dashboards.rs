//! Grafana's dashboards, made from the table of queries for `cargo xtask codegen`, and the listing of both.

mod fastapi;
mod inference;
mod listing;
mod panel;
mod telemetry;
mod variable;

use serde_json::{Value, json};

pub use listing::listing;
use panel::Panel;
use variable::Variable;

/// What Grafana 12 and later write themselves.
const SCHEMA_VERSION: u32 = 41;
/// Links between the dashboards are by tag.
const TAG: &str = "gatewayz";

const FASTAPI: &str = "gatewayz-fastapi";
const INFERENCE: &str = "gatewayz-inference";
const TELEMETRY: &str = "gatewayz-telemetry";

/// One dashboard.
struct Dashboard {
    /// Name in links and of its file.
    uid: &'static str,
    title: &'static str,
    description: &'static str,
    variables: &'static [Variable],
    /// Panels from left to right; a panel that does not fit begins a new line.
    panels: &'static [Panel],
}

/// Every dashboard: its file name and its text.
///
/// # Errors
/// None that can happen: every key of a dashboard is a text.
pub fn files() -> Result<Vec<(String, String)>, serde_json::Error> {
    let dashboards = [fastapi::DASHBOARD, inference::DASHBOARD, telemetry::DASHBOARD];
    dashboards
        .iter()
        .map(|dashboard| {
            let text = serde_json::to_string_pretty(&dashboard.json())?;
            Ok((format!("{}.json", dashboard.uid), text + "\n"))
        })
        .collect()
}

impl Dashboard {
    fn json(&self) -> Value {
        json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION,
            "editable": false,
            "graphTooltip": 1,
            "time": { "from": "now-30m", "to": "now" },
            "refresh": "15s",
            "timezone": "browser",
            "links": [{
                "type": "dashboards",
                "title": "Dashboards",
                "tags": [TAG],
                "asDropdown": false,
                "icon": "external link",
                "includeVars": true,
                "keepTime": true,
                "targetBlank": false,
                "tooltip": "",
                "url": "",
            }],
            "annotations": { "list": [] },
            "templating": { "list": self.variables.iter().map(Variable::json).collect::<Vec<_>>() },
            "panels": panel::placed(self.panels),
        })
    }
}

#[cfg(test)]
mod tests;
