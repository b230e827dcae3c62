//! The variables at the top of a dashboard.

use serde_json::{Value, json};

use super::panel::datasource;
use crate::queries::Datasource;

/// One variable.
#[derive(Clone, Copy)]
pub(super) enum Variable {
    /// One of the values that a metric's label has.
    One {
        name: &'static str,
        selector: &'static str,
        label: &'static str,
    },
    /// All or some of the values that a metric's label has.
    Some {
        name: &'static str,
        selector: &'static str,
        label: &'static str,
    },
    /// The names under which the app's lines are in Loki, and its spans in Tempo.
    Service,
    /// A text to enter.
    Text { name: &'static str, title: &'static str },
}

pub(super) const APP: Variable = Variable::One {
    name: "app",
    selector: "fastapi_app_info",
    label: "app_name",
};
pub(super) const METHOD: Variable = Variable::Some {
    name: "method",
    selector: r#"fastapi_requests_total{app_name="$app"}"#,
    label: "method",
};
pub(super) const PATH: Variable = Variable::Some {
    name: "path",
    selector: r#"fastapi_requests_total{app_name="$app", method=~"$method"}"#,
    label: "path",
};
pub(super) const PROVIDER: Variable = Variable::Some {
    name: "provider",
    selector: r#"model_inference_requests_total{provider!="selftest"}"#,
    label: "provider",
};
pub(super) const MODEL: Variable = Variable::Some {
    name: "model",
    selector: r#"model_inference_requests_total{provider=~"$provider", provider!="selftest"}"#,
    label: "model",
};
pub(super) const TRACE_ID: Variable = Variable::Text {
    name: "trace_id",
    title: "Trace ID",
};

impl Variable {
    pub(super) fn json(&self) -> Value {
        match self {
            Self::One {
                name,
                selector,
                label,
            } => {
                let mut variable = label_values(name, selector, label);
                variable["multi"] = false.into();
                variable["includeAll"] = false.into();
                variable
            }
            Self::Some {
                name,
                selector,
                label,
            } => {
                let mut variable = label_values(name, selector, label);
                variable["multi"] = true.into();
                variable["includeAll"] = true.into();
                variable["current"] = json!({ "selected": true, "text": ["All"], "value": ["$__all"] });
                variable
            }
            Self::Service => json!({
                "name": "service",
                "label": "service",
                "type": "query",
                "datasource": datasource(Datasource::Loki),
                "query": {
                    "type": 1,
                    "label": "service",
                    "stream": r#"{app="$app"}"#,
                    "refId": "service",
                },
                "current": { "selected": true, "text": "gatewayz-api", "value": "gatewayz-api" },
                "multi": false,
                "includeAll": false,
                "refresh": 2,
                "sort": 1,
                "hide": 0,
            }),
            Self::Text { name, title } => json!({
                "name": name,
                "label": title,
                "type": "textbox",
                "query": "",
                "current": { "selected": true, "text": "", "value": "" },
                "hide": 0,
            }),
        }
    }
}

fn label_values(name: &str, selector: &str, label: &str) -> Value {
    let query = format!("label_values({selector}, {label})");
    json!({
        "name": name,
        "label": name,
        "type": "query",
        "datasource": datasource(Datasource::Prometheus),
        "definition": query,
        "query": { "qryType": 1, "query": query, "refId": name },
        // On each change of the time range, so that what is new is found.
        "refresh": 2,
        "sort": 1,
        "hide": 0,
    })
}
