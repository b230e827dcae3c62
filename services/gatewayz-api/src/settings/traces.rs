//! Spans and their sampling.

use gatewayz_config::{Group, Kind, Reader, Setting, Url};

use super::OtlpExport;

pub(super) const GROUP: Group = Group {
    title: "Traces",
    about: "",
    settings: &[
        Setting::new("OTEL_SDK_DISABLED", Kind::Flag, "Record no spans at all. To stop only the export, set `TEMPO_ENABLED=false`.")
            .default_value("false"),
        Setting::new(
            "OTEL_TRACES_SAMPLER",
            Kind::Choice(&[
                "always_on",
                "always_off",
                "traceidratio",
                "parentbased_always_on",
                "parentbased_always_off",
                "parentbased_traceidratio",
            ]),
            "Which traces are recorded. The `parentbased_` ones follow the caller's decision when there is one.",
        )
        .default_value("parentbased_always_on"),
        Setting::new("OTEL_TRACES_SAMPLER_ARG", Kind::Number { min: 0.0, max: 1.0 }, "Share of traces that the `traceidratio` samplers record.")
            .default_value("1.0"),
        Setting::new(
            "TRACES_INCOMING_SAMPLED_PER_SECOND",
            Kind::Integer { min: 0, max: 1_000_000 },
            "Traces a second that are recorded only because the caller says so; 0 trusts no caller.",
        )
        .default_value("1000"),
    ],
};

/// Spans, their sampling and export.
#[derive(Debug, Clone)]
pub struct TracesSettings {
    /// Record spans; false when `OTEL_SDK_DISABLED`.
    pub recording: bool,
    /// Which traces are recorded.
    pub sampler: Sampler,
    /// Traces a second that are recorded only because the caller says so.
    pub incoming_sampled_per_second: u64,
    /// How spans are exported; `None` when they are not.
    pub export: Option<OtlpExport>,
    /// `TEMPO_OTLP_HTTP_ENDPOINT` as given, also when it is not used.
    pub tempo_http_endpoint: Option<Url>,
    /// `TEMPO_OTLP_GRPC_ENDPOINT` as given, also when it is not used.
    pub tempo_grpc_endpoint: Option<Url>,
}

/// The samplers of the OpenTelemetry specification. Ratios are between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampler {
    /// `always_on`.
    AlwaysOn,
    /// `always_off`.
    AlwaysOff,
    /// `traceidratio`.
    TraceIdRatio(f64),
    /// `parentbased_always_on`.
    ParentBasedAlwaysOn,
    /// `parentbased_always_off`.
    ParentBasedAlwaysOff,
    /// `parentbased_traceidratio`.
    ParentBasedTraceIdRatio(f64),
}

impl TracesSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let recording = !reader.flag("OTEL_SDK_DISABLED");
        let ratio = reader.number("OTEL_TRACES_SAMPLER_ARG");
        let sampler = match reader.choice("OTEL_TRACES_SAMPLER") {
            "always_on" => Sampler::AlwaysOn,
            "always_off" => Sampler::AlwaysOff,
            "traceidratio" => Sampler::TraceIdRatio(ratio),
            "parentbased_always_off" => Sampler::ParentBasedAlwaysOff,
            "parentbased_traceidratio" => Sampler::ParentBasedTraceIdRatio(ratio),
            _ => Sampler::ParentBasedAlwaysOn,
        };
        Self {
            recording,
            sampler,
            incoming_sampled_per_second: reader.integer("TRACES_INCOMING_SAMPLED_PER_SECOND"),
            export: OtlpExport::read(reader).filter(|_| recording),
            tempo_http_endpoint: reader.url("TEMPO_OTLP_HTTP_ENDPOINT"),
            tempo_grpc_endpoint: reader.url("TEMPO_OTLP_GRPC_ENDPOINT"),
        }
    }
}
