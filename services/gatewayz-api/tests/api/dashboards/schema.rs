//! Dashboards against the types of Grafana's own SDK.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gatewayz_testkit::skip;
use gatewayz_testkit::tools::{node_modules_with, program};
use serde_json::{Value, json};

use crate::harness::repository;

const PACKAGES: [&str; 2] = ["@grafana/grafana-foundation-sdk", "typescript"];

/// A change of a dashboard, and what is told of it.
type Mistake = (&'static str, fn(&mut Value), &'static str);

/// The first five are those of the documents that this service comes from.
const MISTAKES: [Mistake; 10] = [
    (
        "unit-of-panel",
        |dashboard| panel(dashboard, "CPU Usage")["unit"] = "percent".into(),
        r#"CPU Usage: error TS2353: Object literal may only specify known properties, and '"unit"' does not exist"#,
    ),
    (
        "thresholds-of-panel",
        |dashboard| panel(dashboard, "CPU Usage")["thresholds"] = json!([{ "value": 80 }]),
        r#"'"thresholds"' does not exist"#,
    ),
    (
        "source-by-name",
        |dashboard| panel(dashboard, "CPU Usage")["datasource"] = "Prometheus".into(),
        "Type 'string' has no properties in common",
    ),
    (
        "labels-as-list",
        |dashboard| panel(dashboard, "Logger Stream")["options"]["showLabels"] = json!(["level"]),
        "is not assignable to type 'boolean",
    ),
    (
        "no-grid",
        |dashboard| panel(dashboard, "CPU Usage")["gridPos"] = json!({ "h": 8 }),
        "missing the following properties",
    ),
    (
        "query-not-expr",
        |dashboard| {
            let target = &mut panel(dashboard, "CPU Usage")["targets"][0];
            let expression = target["expr"].take();
            target.as_object_mut().unwrap().remove("expr");
            target["query"] = expression;
        },
        r#"CPU Usage: A: error TS2353: Object literal may only specify known properties, and '"query"' does not exist"#,
    ),
    (
        "wrong-type-of-option",
        |dashboard| panel(dashboard, "Total Requests")["options"]["graphMode"] = true.into(),
        "'true' is not assignable",
    ),
    (
        "no-such-mode",
        |dashboard| panel(dashboard, "Total Requests")["options"]["colorMode"] = "rainbow".into(),
        r#"'"rainbow"' is not assignable"#,
    ),
    (
        "no-such-field-option",
        |dashboard| {
            panel(dashboard, "Requests Per Minute")["fieldConfig"]["defaults"]["custom"]["fill"] = 10.into();
        },
        r#"'"fill"' does not exist"#,
    ),
    (
        "variable-without-name",
        |dashboard| {
            let variable = &mut dashboard["templating"]["list"][0];
            variable.as_object_mut().unwrap().remove("name");
        },
        "Property 'name' is missing",
    ),
];

#[test]
fn grafana_sdk_knows_every_member_of_every_dashboard() {
    let name = "grafana_sdk_knows_every_member_of_every_dashboard";
    let (modules, node) = match tools() {
        Ok(tools) => tools,
        Err(reason) => return skip(name, &reason),
    };
    let folder = repository().join("deploy/grafana/dashboards");
    let files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();

    let output = checked(&node, &modules, &files);

    assert_eq!(files.len(), 3, "{files:?}");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

#[test]
fn each_mistake_in_a_dashboard_is_named_by_grafana_sdk() {
    let name = "each_mistake_in_a_dashboard_is_named_by_grafana_sdk";
    let (modules, node) = match tools() {
        Ok(tools) => tools,
        Err(reason) => return skip(name, &reason),
    };
    let text = repository().join("deploy/grafana/dashboards/gatewayz-fastapi.json");
    let good: Value = serde_json::from_str(&fs::read_to_string(text).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = MISTAKES
        .iter()
        .map(|(name, spoil, _)| {
            let mut dashboard = good.clone();
            spoil(&mut dashboard);
            let file = folder.path().join(format!("{name}.json"));
            fs::write(&file, dashboard.to_string()).unwrap();
            file
        })
        .collect();

    let output = checked(&node, &modules, &files);

    let told = String::from_utf8(output.stdout).unwrap();
    for (name, _, reason) in MISTAKES {
        let is_named = |line: &str| line.starts_with(&format!("{name}.json: ")) && line.contains(reason);
        assert!(told.lines().any(is_named), "{name}: {reason}: {told}");
    }
}

/// `node_modules` and Node, or a reason to skip.
fn tools() -> Result<(PathBuf, PathBuf), String> {
    let modules = node_modules_with(&PACKAGES)?;
    let node = program("node").ok_or("node is not on the PATH")?;
    Ok((modules, node))
}

fn checked(node: &Path, modules: &Path, files: &[PathBuf]) -> Output {
    Command::new(node)
        .arg(repository().join("services/gatewayz-api/tests/dashboards/schema.cjs"))
        .args(files)
        .env("NODE_PATH", modules)
        .output()
        .unwrap()
}

#[track_caller]
fn panel<'a>(dashboard: &'a mut Value, title: &str) -> &'a mut Value {
    let panels = dashboard["panels"].as_array_mut().unwrap();
    panels.iter_mut().find(|panel| panel["title"] == title).unwrap()
}
