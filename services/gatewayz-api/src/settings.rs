//! The service's settings: one schema, typed sections, and the rules between them.

mod admin;
mod docs;
mod inference;
mod log;
mod loki;
mod otlp;
mod server;
mod service;
mod standard;
mod traces;

#[cfg(test)]
mod tests;

use gatewayz_config::{Loader, Mistakes, Reader, Schema, Values};

pub use self::admin::{AdminSettings, MetricsSettings};
pub use self::docs::configuration_markdown;
pub use self::inference::{BODY_COPIES, CatalogError, InferenceSettings, load_catalog};
pub use self::log::{LogFormat, LogSettings, filter as log_filter};
pub use self::loki::{LokiCredentials, LokiPush, LokiSettings, LokiWire};
pub use self::otlp::{OtlpCompression, OtlpExport, OtlpProtocol};
pub use self::server::{ServerSettings, ShutdownSettings};
pub use self::service::{Environment, ServiceSettings};
pub use self::traces::{Sampler, TracesSettings};

/// Every variable that the service understands.
pub static SCHEMA: Schema = Schema {
    groups: &[
        service::GROUP,
        server::GROUP,
        server::SHUTDOWN_GROUP,
        log::GROUP,
        loki::GROUP,
        traces::GROUP,
        otlp::GROUP,
        admin::GROUP,
        admin::METRICS_GROUP,
        inference::GROUP,
    ],
    prefixes: &[
        "ADMIN_API_",
        "API_KEY",
        "GATEWAYZ_",
        "INFERENCE_",
        "LOKI_",
        "OTEL_",
        "SHUTDOWN_",
        "TEMPO_",
        "TRACES_",
    ],
    unsupported: standard::UNSUPPORTED,
};

/// The checked settings of one process.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who the service is.
    pub service: ServiceSettings,
    /// Where it listens and what it serves.
    pub server: ServerSettings,
    /// How it stops.
    pub shutdown: ShutdownSettings,
    /// Log lines on stdout.
    pub log: LogSettings,
    /// Log lines to Loki.
    pub loki: LokiSettings,
    /// Spans, sampling and export.
    pub traces: TracesSettings,
    /// Keys of the instrumentation endpoints.
    pub admin: AdminSettings,
    /// The exposition.
    pub metrics: MetricsSettings,
    /// Models and their callers.
    pub inference: InferenceSettings,
}

impl Settings {
    /// Checks the values one by one and against each other.
    ///
    /// # Errors
    /// Every mistake at once, those of loading first.
    pub fn from_values(values: &Values) -> Result<Self, Mistakes> {
        let mut reader = Reader::new(values);
        let service = ServiceSettings::read(&mut reader);
        let environment = service.environment;
        let settings = Self {
            service,
            server: ServerSettings::read(&mut reader, environment),
            shutdown: ShutdownSettings::read(&mut reader),
            log: LogSettings::read(&mut reader),
            loki: LokiSettings::read(&mut reader),
            traces: TracesSettings::read(&mut reader),
            admin: AdminSettings::read(&mut reader, environment),
            metrics: MetricsSettings::read(&mut reader, environment),
            inference: InferenceSettings::read(&mut reader, environment),
        };
        reader.finish(settings)
    }
}

/// Reads the environment of this process and the files that it names.
pub fn load() -> Values {
    Loader::from_process(&SCHEMA).load()
}
