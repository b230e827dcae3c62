//! Writes the documents and dashboards that the code generates: `--out DIRECTORY`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;
use gatewayz_api::{METRIC_GROUPS, dashboards, openapi, settings};
use gatewayz_metrics::Family;

const METRICS_INTRODUCTION: &str = "\
# Metrics

Generated from the families that the crates declare by `cargo xtask codegen`; do not edit.

`GET /metrics` answers in Prometheus text 0.0.4, or in OpenMetrics 1.0 with exemplars when the Accept header asks for it.
Every `fastapi_*` metric has the label `app_name` (`APP_NAME`). `path` is the route template, or `unmatched`; `method` is
a known one, or `_OTHER`. Label sets beyond the limit of a metric are recorded as `__other__` and counted by
`telemetry_label_overflow_total`. Scrapes and probes (`/metrics`, `/live`, `/ready`) are in no `fastapi_*` metric.

";

/// Writes CONFIGURATION.md, METRICS.md and openapi.json under docs, and Grafana's dashboards under deploy.
#[derive(Parser)]
struct Arguments {
    /// Top of the tree to write into
    #[arg(long)]
    out: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let Arguments { out } = Arguments::parse();
    let documents = [
        ("CONFIGURATION.md", settings::configuration_markdown()),
        ("METRICS.md", metrics_markdown()),
        ("openapi.json", format!("{:#}\n", openapi::document())),
    ];
    let documents = documents.map(|(name, text)| (name.to_owned(), text));
    write(&out.join("docs"), &documents)?;
    write(&out.join("deploy/grafana/dashboards"), &dashboards::files()?)
}

fn write(folder: &Path, files: &[(String, String)]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn metrics_markdown() -> String {
    let groups: Vec<(&str, &[Family])> = METRIC_GROUPS.iter().copied().flatten().copied().collect();
    format!("{METRICS_INTRODUCTION}{}", gatewayz_metrics::markdown(&groups))
}
