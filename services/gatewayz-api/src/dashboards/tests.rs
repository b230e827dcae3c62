//! What the files have that Grafana needs, and what users look for.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Dashboard, fastapi, files, inference, listing, telemetry};
use crate::queries::{Fill, INFERENCE, LOKI_QUERIES, PANELS, TELEMETRY, TEMPO_QUERIES};

const ALL: [Dashboard; 3] = [fastapi::DASHBOARD, inference::DASHBOARD, telemetry::DASHBOARD];

#[track_caller]
fn panels(dashboard: &Value) -> &[Value] {
    dashboard["panels"].as_array().unwrap()
}

#[test]
fn the_eight_panels_of_the_documents_and_traces_are_in_their_form() {
    let dashboard = fastapi::DASHBOARD.json();

    for (title, form, unit) in [
        ("Total Requests", "stat", "short"),
        ("Requests Per Minute", "timeseries", "reqpm"),
        ("Errors Per Second", "stat", "reqps"),
        ("Average Response Time", "timeseries", "s"),
        ("Request Duration P60", "timeseries", "s"),
        ("CPU Usage", "gauge", "percent"),
        ("Memory Usage", "gauge", "bytes"),
    ] {
        let panel = panels(&dashboard)
            .iter()
            .find(|panel| panel["title"] == title)
            .unwrap();
        assert_eq!(panel["type"], form, "{title}");
        assert_eq!(panel["fieldConfig"]["defaults"]["unit"], unit, "{title}");
        assert_eq!(panel["datasource"]["uid"], "prometheus", "{title}");
    }
    for (title, form, source) in [("Logger Stream", "logs", "loki"), ("Traces", "table", "tempo")] {
        let panel = panels(&dashboard)
            .iter()
            .find(|panel| panel["title"] == title)
            .unwrap();
        assert_eq!(
            (&panel["type"], &panel["datasource"]["uid"]),
            (&form.into(), &source.into()),
            "{title}"
        );
    }
}

#[test]
fn no_panel_lies_over_another_or_beyond_the_edge() {
    for dashboard in ALL {
        let json = dashboard.json();
        let mut taken = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for panel in panels(&json) {
            let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(place("x") + place("w") <= 24, "{panel}");
            for column in place("x")..place("x") + place("w") {
                for line in place("y")..place("y") + place("h") {
                    assert!(taken.insert((column, line)), "{panel}");
                }
            }
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        }
    }
}

#[test]
fn every_variable_of_a_query_is_declared_and_no_placeholder_is_left() {
    for dashboard in ALL {
        let json = dashboard.json();
        let declared = json["templating"]["list"].as_array().unwrap();
        let declared: BTreeSet<&str> = declared
            .iter()
            .map(|variable| variable["name"].as_str().unwrap())
            .collect();
        for query in dashboard.panels.iter().flat_map(|panel| panel.queries) {
            let text = query.templated();

            assert!(!text.contains('<'), "{text}");
            for rest in text.split('$').skip(1) {
                let end = rest.find(|symbol: char| !(symbol.is_alphanumeric() || symbol == '_'));
                let name = &rest[..end.unwrap_or(rest.len())];
                assert!(
                    name.starts_with("__") || declared.contains(name),
                    "{name} in {text}"
                );
            }
        }
    }
}

#[test]
fn every_query_of_the_panels_is_in_a_dashboard() {
    let shown: BTreeSet<&str> = ALL
        .iter()
        .flat_map(|dashboard| dashboard.panels.iter().flat_map(|panel| panel.queries))
        .map(|query| query.key)
        .collect();
    for query in [PANELS, INFERENCE, TELEMETRY].concat() {
        assert!(shown.contains(query.key), "{}", query.key);
    }
    for key in shown {
        let tables = [PANELS, INFERENCE, TELEMETRY, LOKI_QUERIES, TEMPO_QUERIES].concat();
        assert!(
            key.starts_with("one_trace") || tables.iter().any(|query| query.key == key),
            "{key}"
        );
    }
}

#[test]
fn a_file_is_named_after_its_uid_and_ends_with_a_line_feed() {
    for (name, text) in files().unwrap() {
        let parsed: Value = serde_json::from_str(&text).unwrap();

        assert_eq!(format!("{}.json", parsed["uid"].as_str().unwrap()), name);
        assert!(text.ends_with("}\n"));
    }
}

#[test]
fn the_listing_has_every_panel_of_every_dashboard_under_the_known_keys() {
    let listing = listing(&Fill {
        app_name: "gatewayz",
        service_name: "gatewayz-api",
        rate_window: "5m",
        range: "1h",
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
    });

    let panels = listing["panels"].as_object().unwrap();
    assert_eq!(panels.len(), PANELS.len() + INFERENCE.len() + TELEMETRY.len());
    for (key, source, dashboard) in [
        ("total_requests", "prometheus", "gatewayz-fastapi"),
        ("logger_stream", "loki", "gatewayz-fastapi"),
        // These four have the names of the endpoint that users come from.
        ("model_inference_rate", "prometheus", "gatewayz-inference"),
        ("token_consumption", "prometheus", "gatewayz-inference"),
        ("provider_availability", "prometheus", "gatewayz-inference"),
        ("cache_hit_rate", "prometheus", "gatewayz-inference"),
        ("provider_traces", "tempo", "gatewayz-inference"),
        ("telemetry_queue_share", "prometheus", "gatewayz-telemetry"),
    ] {
        let panel = &panels[key];
        assert_eq!(
            (&panel["datasource"], &panel["dashboard"]),
            (&source.into(), &dashboard.into())
        );
        for member in ["title", "query", "description"] {
            assert_ne!(panel[member].as_str().unwrap(), "", "{member} of {key}");
        }
    }
}
