//! Who the service is.

use gatewayz_config::{Group, Kind, Reader, Setting};

const LONGEST_NAME_CHARS: usize = 128;
const MOST_ATTRIBUTES: usize = 128;
const DEFAULT_SERVICE_NAME: &str = "gatewayz-api";

pub(super) const GROUP: Group = Group {
    title: "Service",
    about: "",
    settings: &[
        Setting::new("ENVIRONMENT", Kind::Choice(&["local", "staging", "production"]), "Where the service runs; chooses the env file and the defaults that depend on it.")
            .default_value("local")
            .aliases(&[("development", "local")])
            .process_only(),
        Setting::new("CONFIG_FILE", Kind::Path, "TOML file with flat keys, the names of this page in any case.")
            .when_unset("no file")
            .process_only(),
        Setting::new("ENV_FILE", Kind::Path, "File of `NAME=value` lines; a `$` in it is an ordinary character.")
            .when_unset("`deploy/env/$ENVIRONMENT.env` if it is there")
            .process_only(),
        Setting::new("APP_NAME", Kind::Text, "Label `app_name` of every metric and stream label `app` of every log line. At most 128 characters.")
            .default_value("gatewayz"),
        Setting::new("SERVICE_NAME", Kind::Text, "`service` in log lines and `service.name` in traces. Beats `OTEL_SERVICE_NAME`. At most 128 characters.")
            .when_unset("`OTEL_SERVICE_NAME`, else `service.name` of `OTEL_RESOURCE_ATTRIBUTES`, else `gatewayz-api`"),
        Setting::new("OTEL_SERVICE_NAME", Kind::Text, "OpenTelemetry's name for the service."),
        Setting::new("OTEL_RESOURCE_ATTRIBUTES", Kind::Pairs, "Further attributes of the resource that every trace carries; at most 128.")
            .when_unset("none"),
    ],
};

/// Who the service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSettings {
    /// Label `app_name`.
    pub app_name: String,
    /// `service` in logs, `service.name` in traces.
    pub service_name: String,
    /// Where it runs.
    pub environment: Environment,
    /// Attributes of the resource besides `service.name`, in the order given.
    pub resource_attributes: Vec<(String, String)>,
}

/// Where the service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// A developer's machine: published keys are accepted, demo routes are on.
    Local,
    /// Like production, for trying out.
    Staging,
    /// The real thing.
    Production,
}

impl Environment {
    /// The word of the `environment` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}

impl ServiceSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let environment = match reader.choice("ENVIRONMENT") {
            "production" => Environment::Production,
            "staging" => Environment::Staging,
            _ => Environment::Local,
        };
        let (names, resource_attributes): (Vec<_>, Vec<_>) = reader
            .pairs("OTEL_RESOURCE_ATTRIBUTES")
            .into_iter()
            .partition(|(key, _)| key == "service.name");
        if resource_attributes.len() > MOST_ATTRIBUTES {
            reader.mistake("OTEL_RESOURCE_ATTRIBUTES", "has more than 128 attributes");
        }
        let attribute_name = names
            .into_iter()
            .last()
            .map(|(_, name)| name)
            .filter(|name| !name.is_empty());
        let service_name = match reader.strongest(&["SERVICE_NAME", "OTEL_SERVICE_NAME"]) {
            Some(variable) => name(reader, variable),
            None => attribute_name.unwrap_or_else(|| DEFAULT_SERVICE_NAME.to_owned()),
        };
        Self {
            app_name: name(reader, "APP_NAME"),
            service_name,
            environment,
            resource_attributes,
        }
    }
}

fn name(reader: &mut Reader<'_>, variable: &str) -> String {
    let name = reader.text(variable);
    if name.chars().count() > LONGEST_NAME_CHARS {
        reader.mistake(variable, "has more than 128 characters");
    }
    name
}
