//! The service's settings, through its own schema.

mod mistakes;
mod otlp;
mod sections;

use std::path::{Path, PathBuf};

use gatewayz_config::{Loader, Values};

use super::{SCHEMA, Settings, configuration_markdown};

const PUBLISHED_KEY: &str = "gw_live_wTfpLJ5VB28qMXpOAhr7Uw";

/// The second document's block for the backend service.
const COMPOSE_BLOCK: &[(&str, &str)] = &[
    ("APP_NAME", "gatewayz"),
    ("SERVICE_NAME", "gatewayz-api"),
    ("ENVIRONMENT", "production"),
    ("LOKI_ENABLED", "true"),
    ("LOKI_PUSH_URL", "http://loki:3100/loki/api/v1/push"),
    ("TEMPO_ENABLED", "true"),
    ("TEMPO_OTLP_HTTP_ENDPOINT", "http://tempo:4318"),
    ("TEMPO_OTLP_GRPC_ENDPOINT", "http://tempo:4317"),
    ("ADMIN_API_KEY", PUBLISHED_KEY),
];

fn load(process: &[(&str, &str)]) -> Values {
    Loader::new(&SCHEMA, process.iter().copied())
        .working_directory("/nonexistent")
        .load()
}

fn load_in_repository(process: &[(&str, &str)]) -> Values {
    Loader::new(&SCHEMA, process.iter().copied())
        .working_directory(repository())
        .load()
}

#[track_caller]
fn settings(process: &[(&str, &str)]) -> Settings {
    let values = load(process);
    assert!(values.warnings().is_empty(), "{:?}", values.warnings());
    match Settings::from_values(&values) {
        Ok(settings) => settings,
        Err(mistakes) => panic!("{mistakes}"),
    }
}

fn mistakes(process: &[(&str, &str)]) -> Vec<String> {
    match Settings::from_values(&load(process)) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_committed_page_is_the_generated_one() {
    let committed = std::fs::read_to_string(repository().join("docs/CONFIGURATION.md")).unwrap_or_default();

    assert!(
        committed == configuration_markdown(),
        "docs/CONFIGURATION.md is old: run cargo xtask codegen"
    );
}
