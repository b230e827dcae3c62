//! What a service chooses about its telemetry.

use std::fs::File;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use gatewayz_delivery::{QueueSettings, RetryPolicy};
use gatewayz_logging::{Format, Levels};
use gatewayz_loki::LokiSettings;
use gatewayz_metrics::{Family, RegistrySettings};
use gatewayz_tracing::otlp::{OtlpSettings, Protocol};
use gatewayz_tracing::sampler::{RootRule, Sampler};
use url::Url;

/// Most bytes of one OTLP request; receivers refuse gRPC messages above 4 MiB unless told otherwise.
const OTLP_BATCH_MAX_BYTES: usize = 7 * 512 * 1024;
/// More than the longest span has: 64 attributes of 2 KiB with their keys, its own, and what failed it.
const SPAN_MAX_BYTES: usize = 256 * 1024;

/// Everything [`Telemetry::start`](crate::Telemetry::start) needs.
#[derive(Debug, Clone)]
pub struct TelemetrySettings {
    /// Value of the `app_name` label.
    pub app_name: String,
    /// Name of the service in logs and traces.
    pub service_name: String,
    /// Its version.
    pub service_version: String,
    /// Environment it runs in: `local`, `staging`, `production`.
    pub environment: String,
    /// Log lines.
    pub log: LogSettings,
    /// Spans.
    pub traces: TraceSettings,
    /// Push to Loki; `None` leaves stdout as the only way out for lines.
    pub loki: Option<LokiExport>,
    /// The metrics registry.
    pub metrics: RegistrySettings,
    /// Families of the service itself, beside [`FAMILIES`](crate::FAMILIES).
    pub families: Vec<&'static [Family]>,
    /// Route templates whose GET and HEAD requests leave no signal: scrapes and probes.
    pub silent_routes: Vec<&'static str>,
}

impl TelemetrySettings {
    /// All three signals with sane bounds: JSON lines at INFO on stdout, every trace kept, nothing exported, and
    /// `/metrics`, `/live` and `/ready` silent. Change any field before the start.
    #[must_use]
    pub fn new(service_name: &str, service_version: &str, environment: &str) -> Self {
        Self {
            app_name: service_name.to_owned(),
            service_name: service_name.to_owned(),
            service_version: service_version.to_owned(),
            environment: environment.to_owned(),
            log: LogSettings {
                format: Format::Json,
                levels: Levels::default(),
                line_max_bytes: 16 * 1024,
                events_per_second: None,
                stdout_buffer_bytes: 8 * 1024 * 1024,
                file: None,
            },
            traces: TraceSettings {
                sampler: Sampler::ParentBased(RootRule::AlwaysOn),
                incoming_sampled_per_second: 1000,
                resource: Vec::new(),
                export: None,
            },
            loki: None,
            metrics: RegistrySettings::default(),
            families: Vec::new(),
            silent_routes: vec!["/metrics", "/live", "/ready"],
        }
    }
}

impl ExportSettings {
    /// Export to an OTLP receiver: at least once while the process lives and for a minute of outage, at most
    /// 16 MiB of spans waiting.
    #[must_use]
    pub fn new(protocol: Protocol, endpoint: Url) -> Self {
        Self {
            otlp: OtlpSettings {
                protocol,
                endpoint,
                headers: Vec::new(),
                gzip: false,
                resource: Vec::new(),
            },
            queue: QueueSettings {
                capacity_bytes: 16 * 1024 * 1024,
                record_max_bytes: SPAN_MAX_BYTES,
                batch_max_bytes: OTLP_BATCH_MAX_BYTES,
                linger: Duration::from_secs(1),
                ..QueueSettings::default()
            },
            retry: RetryPolicy {
                max_elapsed: Duration::from_secs(60),
                ..RetryPolicy::default()
            },
        }
    }
}

/// Log lines on stdout.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// How lines look.
    pub format: Format,
    /// Which events become lines.
    pub levels: Levels,
    /// Longest line, in bytes; at least [`REQUEST_LINE_MAX_BYTES`](gatewayz_logging::REQUEST_LINE_MAX_BYTES) is used.
    pub line_max_bytes: usize,
    /// Most events one callsite writes in a second; `None` sets no limit.
    pub events_per_second: Option<NonZeroU32>,
    /// Bound of the lines waiting to be written, in bytes.
    pub stdout_buffer_bytes: usize,
    /// Where lines go instead of stdout; `None` is stdout.
    pub file: Option<Arc<File>>,
}

/// Spans and their export.
#[derive(Debug, Clone)]
pub struct TraceSettings {
    /// Which traces are kept.
    pub sampler: Sampler,
    /// Most traces a second that are kept only because the caller says so.
    pub incoming_sampled_per_second: u32,
    /// Attributes of the resource beside the service's own; [`Telemetry::resource`](crate::Telemetry::resource) has
    /// both.
    pub resource: Vec<(String, String)>,
    /// Where spans go; `None` makes ids and sampling decisions without export.
    pub export: Option<ExportSettings>,
}

/// OTLP export.
#[derive(Debug, Clone)]
pub struct ExportSettings {
    /// Endpoint, protocol, headers. The resource is set at start, whatever it holds.
    pub otlp: OtlpSettings,
    /// Bounds of the queue.
    pub queue: QueueSettings,
    /// Bounds of the attempts.
    pub retry: RetryPolicy,
}

/// Loki push.
#[derive(Debug, Clone)]
pub struct LokiExport {
    /// URL, wire, labels, credentials.
    pub loki: LokiSettings,
    /// Bounds of the queue.
    pub queue: QueueSettings,
    /// Bounds of the attempts.
    pub retry: RetryPolicy,
}
