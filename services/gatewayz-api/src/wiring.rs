//! From settings to running telemetry, an inference gateway and an admin guard.

use std::sync::Arc;

use gatewayz_admin_auth::{AdminKeys, Guard};
use gatewayz_delivery::{QueueSettings, RetryPolicy};
use gatewayz_inference::{Gateway, GatewaySettings};
use gatewayz_logging::Format;
use gatewayz_metrics::{Family, RegistrySettings, Samples, SeriesError};
use gatewayz_telemetry::{
    ExportSettings, LogSettings, LokiExport, PrometheusFamilies, StartError, Telemetry, TelemetrySettings,
    TraceSettings,
};
use gatewayz_tracing::context_of;
use gatewayz_tracing::otlp::Protocol;
use gatewayz_tracing::sampler::{RootRule, SampleRatio, Sampler};
use gatewayz_tracing::w3c::inject;
use http::{HeaderMap, HeaderValue};
use tracing::Span;

use crate::settings::{
    self, InferenceSettings, LogFormat, LokiCredentials, LokiPush, LokiWire, OtlpCompression, OtlpExport,
    OtlpProtocol, Settings,
};
use crate::state::VERSION;
use crate::{problem, routes};

/// Families the service feeds itself.
pub const FAMILIES: &[Family] = &[Family::counter(
    "admin_auth_attempts_total",
    "Calls of admin endpoints, by how the key was judged.",
    &["outcome", "reason"],
)];

/// Series of the largest catalog: 500 models with ten candidates of at most twelve series each. They come from configuration, so
/// they must not use up what requests need.
const CATALOG_SERIES: usize = 61_000;
/// Loki refuses for good what decodes to more than 4 MiB; this leaves room for labels and metadata.
const LOKI_BATCH_MAX_BYTES: usize = 1024 * 1024;

/// Why the service could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// A setting passed its own check but not that of its user.
    #[error("use setting {name}: {problem}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// Telemetry did not start.
    #[error("start telemetry")]
    Telemetry(#[from] StartError),
    /// The inference gateway did not start.
    #[error("prepare the inference gateway")]
    Gateway(#[from] gatewayz_inference::LoadError),
    /// The metrics of the admin guard were refused.
    #[error("register the admin metrics")]
    Series(#[from] SeriesError),
}

/// Starts the three signals as the settings say.
///
/// # Errors
/// When a setting cannot be used or the system refuses a thread.
pub fn start_telemetry(
    settings: &Settings,
    plane_registry: prometheus::Registry,
) -> Result<Telemetry, WiringError> {
    let telemetry = Telemetry::start(telemetry_settings(settings)?)?;
    telemetry
        .registry()
        .foreign(Box::new(PrometheusFamilies(plane_registry)));
    Ok(telemetry)
}

/// The inference gateway with its metrics in the registry; `None` without a catalog.
///
/// # Errors
/// When its metrics are refused or TLS cannot be set up.
pub fn gateway(settings: &Settings, telemetry: &Telemetry) -> Result<Option<Gateway>, WiringError> {
    let inference = &settings.inference;
    let Some(catalog) = &inference.catalog else {
        tracing::warn!("There is no catalog: /v1 answers 503 until CATALOG_FILE names one");
        return Ok(None);
    };
    let gateway = GatewaySettings {
        keep_alive: inference.keep_alive,
        cache_bytes: inference.cache_bytes,
        answers_max_bytes: inference.answers_max_bytes,
        trace_headers: Some(Arc::new(write_trace_headers)),
    };
    tell_openness(inference);
    Ok(Some(Gateway::new(catalog, telemetry.registry(), gateway)?))
}

/// Tells when anyone may call models.
pub fn tell_openness(inference: &InferenceSettings) {
    if inference.api_keys.is_empty() && inference.open_without_keys {
        tracing::warn!("Anyone may call /v1: API_KEYS_SHA256 is not set");
    }
}

fn write_trace_headers(span: &Span, headers: &mut HeaderMap) {
    let Some(context) = context_of(span) else { return };
    inject(&context, &mut |name, value| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    });
}

/// Tells when the keys open nothing, or are known to everyone.
pub fn tell_standing(keys: &AdminKeys) {
    match keys.disabled() {
        Some(reason) => tracing::error!(reason = reason.detail(), "Admin endpoints answer 503"),
        None if keys.holds_published_key() => {
            tracing::warn!("The admin key is a published one; it is accepted in the local environment only");
        }
        None => {}
    }
}

/// The guard of the admin endpoints, with its figures on the metrics page.
///
/// # Errors
/// When its figures cannot be registered.
pub fn admin_guard(settings: &Settings, telemetry: &Telemetry) -> Result<Guard, WiringError> {
    tell_standing(&settings.admin.keys);
    let guard = Guard::new(
        settings.admin.keys.clone(),
        routes::policy(settings.service.environment),
    )
    .with_realm("gatewayz-admin")
    .with_problem(|_request, status, refusal| problem::refused(status, refusal.title, refusal.detail));
    let stats = guard.stats();
    let collect = move |samples: &mut Samples<'_>| {
        for family in FAMILIES {
            for attempt in stats.snapshot() {
                samples.counter(family, &[attempt.outcome, attempt.reason], attempt.count);
            }
        }
    };
    telemetry.registry().collector(FAMILIES, Box::new(collect))?;
    Ok(guard)
}

fn telemetry_settings(settings: &Settings) -> Result<TelemetrySettings, WiringError> {
    let service = &settings.service;
    Ok(TelemetrySettings {
        app_name: service.app_name.clone(),
        service_name: service.service_name.clone(),
        service_version: VERSION.to_owned(),
        environment: service.environment.as_str().to_owned(),
        log: log_settings(&settings.log)?,
        traces: TraceSettings {
            sampler: sampler(&settings.traces)?,
            incoming_sampled_per_second: u32::try_from(settings.traces.incoming_sampled_per_second)
                .unwrap_or(u32::MAX),
            resource: service.resource_attributes.clone(),
            export: settings.traces.export.as_ref().map(export_settings),
        },
        loki: settings
            .loki
            .push
            .as_ref()
            .map(|push| loki_export(push, settings)),
        metrics: RegistrySettings {
            legacy_aliases: settings.metrics.legacy_aliases,
            series_limit: RegistrySettings::default().series_limit + CATALOG_SERIES,
        },
        families: vec![FAMILIES, gatewayz_inference::FAMILIES],
        silent_routes: routes::SILENT_ROUTES.to_vec(),
    })
}

fn log_settings(log: &settings::LogSettings) -> Result<LogSettings, WiringError> {
    let unusable = |error: gatewayz_logging::LevelParseError| WiringError::Setting {
        name: "LOG_LEVEL",
        problem: error.to_string(),
    };
    Ok(LogSettings {
        format: match log.format {
            LogFormat::Json => Format::Json,
            LogFormat::Bunyan => Format::Bunyan,
            LogFormat::Pretty => Format::Pretty,
        },
        levels: log.filter.parse().map_err(unusable)?,
        line_max_bytes: log.max_line_bytes,
        events_per_second: log.events_per_second,
        stdout_buffer_bytes: log.stdout_buffer_bytes,
        file: None,
    })
}

fn sampler(traces: &settings::TracesSettings) -> Result<Sampler, WiringError> {
    let ratio = |share: f64| {
        SampleRatio::try_from(share)
            .map(RootRule::TraceIdRatio)
            .map_err(|error| WiringError::Setting {
                name: "OTEL_TRACES_SAMPLER_ARG",
                problem: error.to_string(),
            })
    };
    if !traces.recording {
        return Ok(Sampler::Root(RootRule::AlwaysOff));
    }
    Ok(match traces.sampler {
        settings::Sampler::AlwaysOn => Sampler::Root(RootRule::AlwaysOn),
        settings::Sampler::AlwaysOff => Sampler::Root(RootRule::AlwaysOff),
        settings::Sampler::TraceIdRatio(share) => Sampler::Root(ratio(share)?),
        settings::Sampler::ParentBasedAlwaysOn => Sampler::ParentBased(RootRule::AlwaysOn),
        settings::Sampler::ParentBasedAlwaysOff => Sampler::ParentBased(RootRule::AlwaysOff),
        settings::Sampler::ParentBasedTraceIdRatio(share) => Sampler::ParentBased(ratio(share)?),
    })
}

fn export_settings(export: &OtlpExport) -> ExportSettings {
    let protocol = match export.protocol {
        OtlpProtocol::Grpc => Protocol::Grpc,
        OtlpProtocol::HttpProtobuf => Protocol::HttpProtobuf,
    };
    let mut wired = ExportSettings::new(protocol, export.endpoint.clone());
    wired.otlp.headers.clone_from(&export.headers);
    wired.otlp.gzip = export.compression == OtlpCompression::Gzip;
    wired.queue.capacity_bytes = export.queue_bytes;
    wired.queue.capacity_records = export.max_queue_spans.unwrap_or(usize::MAX);
    wired.queue.batch_bytes = wired.queue.batch_bytes.min(export.queue_bytes / 4);
    wired.queue.batch_max_records = export.max_batch_spans.unwrap_or(usize::MAX);
    wired.queue.linger = export.schedule_delay;
    wired.retry.attempt_timeout = export.timeout;
    wired.retry.max_elapsed = export.retry_max_elapsed;
    wired
}

fn loki_export(push: &LokiPush, settings: &Settings) -> LokiExport {
    LokiExport {
        loki: gatewayz_loki::LokiSettings {
            push_url: push.url.clone(),
            wire: match push.wire {
                LokiWire::Protobuf => gatewayz_loki::Wire::Protobuf,
                LokiWire::Json => gatewayz_loki::Wire::Json,
            },
            labels: gatewayz_loki::StreamLabels {
                service: settings.service.service_name.clone(),
                app: settings.service.app_name.clone(),
                environment: settings.service.environment.as_str().to_owned(),
            },
            credentials: match &push.credentials {
                LokiCredentials::None => gatewayz_loki::Credentials::None,
                LokiCredentials::Basic { username, password } => gatewayz_loki::Credentials::Basic {
                    username: username.clone(),
                    password: password.clone(),
                },
                LokiCredentials::Bearer(token) => gatewayz_loki::Credentials::Bearer(token.clone()),
            },
            tenant: push.tenant_id.clone(),
        },
        queue: QueueSettings {
            capacity_bytes: push.queue_bytes,
            audit_reserve_bytes: push.queue_bytes / 20,
            batch_bytes: push.batch_bytes,
            batch_max_bytes: LOKI_BATCH_MAX_BYTES.max(push.batch_bytes),
            linger: push.batch_wait,
            ..QueueSettings::default()
        },
        retry: RetryPolicy {
            attempt_timeout: push.timeout,
            backoff_min: push.backoff_min,
            backoff_max: push.backoff_max,
            max_elapsed: push.retry_max_elapsed,
            ..RetryPolicy::default()
        },
    }
}
