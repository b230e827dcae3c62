//! Loading through the public interface: layers, mistakes, display.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod display;
mod layers;
mod mistakes;

use std::path::PathBuf;
use std::time::Duration;

use gatewayz_config::{Group, Kind, Loader, Schema, Setting, Values};

static SCHEMA: Schema = Schema {
    groups: &[
        Group {
            title: "Service",
            about: "Who we are.",
            settings: &[
                Setting::new(
                    "ENVIRONMENT",
                    Kind::Choice(&["local", "production"]),
                    "Where it runs.",
                )
                .default_value("local")
                .aliases(&[("development", "local")])
                .process_only(),
                Setting::new("CONFIG_FILE", Kind::Path, "TOML file.").process_only(),
                Setting::new("ENV_FILE", Kind::Path, "Env file.").process_only(),
                Setting::new("APP_NAME", Kind::Text, "Name | label.")
                    .default_value("app")
                    .reloaded(),
                Setting::new("PORT", Kind::Integer { min: 1, max: 65535 }, "Port.").default_value("8000"),
                Setting::new(
                    "METRICS_PORT",
                    Kind::Integer { min: 1, max: 65535 },
                    "Port of metrics.",
                ),
            ],
        },
        Group {
            title: "Loki",
            about: "",
            settings: &[
                Setting::new("LOKI_ENABLED", Kind::Flag, "Push logs.").when_unset("off without a URL"),
                Setting::new(
                    "LOKI_PUSH_URL",
                    Kind::Url {
                        schemes: &["http", "https"],
                        assumed_scheme: None,
                    },
                    "Target.",
                ),
                Setting::new(
                    "LOKI_GRPC_URL",
                    Kind::Url {
                        schemes: &["http", "https"],
                        assumed_scheme: Some("http"),
                    },
                    "Target.",
                ),
                Setting::new("LOKI_PASSWORD", Kind::Text, "Password.").secret(),
                Setting::new("LOKI_PASSWORD_FILE", Kind::SecretFile, "File of the password."),
                Setting::new("LOKI_HEADERS", Kind::Pairs, "Headers.").secret(),
                Setting::new("LOKI_LABELS", Kind::List, "Labels."),
                Setting::new("LOKI_RATIO", Kind::Number { min: 0.0, max: 1.0 }, "Share.")
                    .default_value("0.5"),
                Setting::new(
                    "LOKI_TIMEOUT",
                    Kind::Duration {
                        min: Duration::from_millis(100),
                        max: Duration::from_secs(300),
                    },
                    "Timeout.",
                )
                .default_value("10"),
                Setting::new("LOKI_DELAY", Kind::Milliseconds { min: 1, max: 60_000 }, "Delay.")
                    .default_value("1000"),
                Setting::new(
                    "LOKI_QUEUE_BYTES",
                    Kind::Bytes {
                        min: 1024,
                        max: 1 << 30,
                    },
                    "Queue.",
                )
                .default_value("10MiB"),
            ],
        },
    ],
    prefixes: &["LOKI_", "OTEL_"],
    unsupported: &["OTEL_METRICS_EXPORTER"],
};

fn load(process: &[(&str, &str)]) -> Values {
    Loader::new(&SCHEMA, process.iter().copied())
        .working_directory("/nonexistent")
        .load()
}

/// A directory of one test with these files in it.
fn directory(test: &str, files: &[(&str, &str)]) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    for (name, text) in files {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

fn load_in(test: &str, files: &[(&str, &str)], process: &[(&str, &str)]) -> Values {
    Loader::new(&SCHEMA, process.iter().copied())
        .working_directory(directory(test, files))
        .load()
}

fn value(values: &Values, name: &str) -> Option<String> {
    values
        .describe()
        .into_iter()
        .find(|described| described.name == name)
        .unwrap()
        .value
}

fn mistakes(values: &Values) -> Vec<String> {
    values.mistakes().iter().map(ToString::to_string).collect()
}

fn warnings(values: &Values) -> Vec<String> {
    values.warnings().iter().map(ToString::to_string).collect()
}
