//! Export of spans over OTLP.

use std::time::Duration;

use gatewayz_config::{Group, Kind, Reader, SecretString, Setting, Url, is_private_host};

const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const TEMPO_GRPC: &str = "TEMPO_OTLP_GRPC_ENDPOINT";
const TEMPO_HTTP: &str = "TEMPO_OTLP_HTTP_ENDPOINT";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_PATH: &str = "/v1/traces";

const HTTP_URL: Kind = Kind::Url {
    schemes: &["http", "https"],
    assumed_scheme: None,
};
const GRPC_URL: Kind = Kind::Url {
    schemes: &["http", "https"],
    assumed_scheme: Some("http"),
};
const PROTOCOL: Kind = Kind::Choice(&["grpc", "http/protobuf"]);
const COMPRESSION: Kind = Kind::Choice(&["none", "gzip"]);
const TIMEOUT: Kind = Kind::Milliseconds {
    min: 100,
    max: 300_000,
};
const COUNT: Kind = Kind::Integer {
    min: 1,
    max: 1_000_000,
};

pub(super) const GROUP: Group = Group {
    title: "Trace export",
    about: "The endpoint is the first that is set of `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, \
            `TEMPO_OTLP_GRPC_ENDPOINT` or `TEMPO_OTLP_HTTP_ENDPOINT` (the one of the protocol), and \
            `OTEL_EXPORTER_OTLP_ENDPOINT`; a `_TRACES_` variable beats the one without. One that is set in a higher \
            layer beats those of the layers below. Headers over plain `http` are accepted only where Loki's \
            credentials are.",
    settings: &[
        Setting::new("TEMPO_ENABLED", Kind::Flag, "Export spans. False stops the export only: ids, sampling and exemplars stay.")
            .when_unset("true as soon as an endpoint is set"),
        Setting::new(TEMPO_HTTP, HTTP_URL, "Base URL of Tempo's OTLP over HTTP, such as `http://tempo:4318`; `/v1/traces` is added."),
        Setting::new(TEMPO_GRPC, GRPC_URL, "Tempo's OTLP over gRPC, such as `http://tempo:4317`."),
        Setting::new(ENDPOINT, GRPC_URL, "OTLP endpoint for all signals; `/v1/traces` is added for `http/protobuf`."),
        Setting::new(TRACES_ENDPOINT, GRPC_URL, "OTLP endpoint for traces, used as it is."),
        Setting::new("OTEL_EXPORTER_OTLP_PROTOCOL", PROTOCOL, "Transport of the export.")
            .when_unset("`http/protobuf` for `TEMPO_OTLP_HTTP_ENDPOINT`, else `grpc`"),
        Setting::new("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", PROTOCOL, "The same for traces.")
            .when_unset("`OTEL_EXPORTER_OTLP_PROTOCOL`"),
        Setting::new("OTEL_EXPORTER_OTLP_HEADERS", Kind::Pairs, "Headers of every export, such as `authorization=Basic%20...`.")
            .when_unset("none")
            .secret(),
        Setting::new("OTEL_EXPORTER_OTLP_TRACES_HEADERS", Kind::Pairs, "The same for traces.")
            .when_unset("`OTEL_EXPORTER_OTLP_HEADERS`")
            .secret(),
        Setting::new("OTEL_EXPORTER_OTLP_TIMEOUT", TIMEOUT, "How long one export may take.").default_value("10000"),
        Setting::new("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", TIMEOUT, "The same for traces.")
            .when_unset("`OTEL_EXPORTER_OTLP_TIMEOUT`"),
        Setting::new("OTEL_EXPORTER_OTLP_COMPRESSION", COMPRESSION, "Compression of the export.").default_value("none"),
        Setting::new("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", COMPRESSION, "The same for traces.")
            .when_unset("`OTEL_EXPORTER_OTLP_COMPRESSION`"),
        Setting::new("TRACES_QUEUE_BYTES", Kind::Bytes { min: 64 << 10, max: 1 << 30 }, "Spans held while the receiver is slow or away; beyond it they are dropped and counted.")
            .default_value("16MiB"),
        Setting::new(
            "TRACES_RETRY_MAX_ELAPSED",
            Kind::Duration { min: Duration::ZERO, max: Duration::from_secs(86_400) },
            "How long an export is attempted, at most 20 times, before its spans are dropped and counted; 0 never repeats.",
        )
        .default_value("60"),
        Setting::new("OTEL_BSP_SCHEDULE_DELAY", Kind::Milliseconds { min: 10, max: 60_000 }, "An export is sent at the latest this long after its first span.")
            .default_value("1000"),
        Setting::new("OTEL_BSP_MAX_QUEUE_SIZE", COUNT, "Spans held, in addition to the bound in bytes.")
            .when_unset("bounded in bytes alone"),
        Setting::new("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", COUNT, "Spans of one export, in addition to the bound in bytes. Not more than `OTEL_BSP_MAX_QUEUE_SIZE`.")
            .when_unset("bounded in bytes alone"),
    ],
};

/// How spans are exported.
#[derive(Debug, Clone)]
pub struct OtlpExport {
    /// Transport.
    pub protocol: OtlpProtocol,
    /// Final URL: with its path for HTTP, without for gRPC.
    pub endpoint: Url,
    /// The variable that the endpoint comes from.
    pub endpoint_variable: &'static str,
    /// Lower-case header names and their values.
    pub headers: Vec<(String, SecretString)>,
    /// Compression of the body.
    pub compression: OtlpCompression,
    /// Deadline of one export.
    pub timeout: Duration,
    /// How long one export is repeated.
    pub retry_max_elapsed: Duration,
    /// Bytes of spans held in memory.
    pub queue_bytes: usize,
    /// Longest time between the first span of an export and its sending.
    pub schedule_delay: Duration,
    /// Spans held in memory; `None` for no bound besides bytes.
    pub max_queue_spans: Option<usize>,
    /// Spans of one export; `None` for no bound besides bytes.
    pub max_batch_spans: Option<usize>,
}

/// Transport of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// gRPC over HTTP/2.
    Grpc,
    /// Protobuf over HTTP.
    HttpProtobuf,
}

impl OtlpProtocol {
    /// The word of `OTEL_EXPORTER_OTLP_PROTOCOL`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
        }
    }
}

/// Compression of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpCompression {
    /// As it is.
    None,
    /// gzip.
    Gzip,
}

impl OtlpExport {
    /// `None` when nothing is to be exported, or its endpoint is mistaken.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let endpoint = resolve_endpoint(reader);
        let headers_variable =
            reader.strongest(&["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"]);
        let headers = headers_variable
            .map(|variable| headers(reader, variable))
            .unwrap_or_default();
        let compression = reader.strongest(&[
            "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
            "OTEL_EXPORTER_OTLP_COMPRESSION",
        ]);
        let timeout = reader.strongest(&["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"]);
        let max_queue_spans = reader.optional_size("OTEL_BSP_MAX_QUEUE_SIZE");
        let max_batch_spans = reader.optional_size("OTEL_BSP_MAX_EXPORT_BATCH_SIZE");
        if let (Some(queue), Some(batch)) = (max_queue_spans, max_batch_spans)
            && batch > queue
        {
            reader.mistake(
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
                "is more than OTEL_BSP_MAX_QUEUE_SIZE",
            );
        }
        let Endpoint {
            protocol,
            url,
            variable,
        } = endpoint?;
        if !headers.is_empty() && url.scheme() == "http" && !is_private_host(&url) {
            reader.mistake(variable, "sends headers over http to a public host; use https");
        }
        Some(Self {
            protocol,
            endpoint: url,
            endpoint_variable: variable,
            headers,
            compression: match compression.map(|variable| reader.choice(variable)) {
                Some("gzip") => OtlpCompression::Gzip,
                Some(_) | None => OtlpCompression::None,
            },
            timeout: timeout
                .map(|variable| reader.duration(variable))
                .unwrap_or_default(),
            retry_max_elapsed: reader.duration("TRACES_RETRY_MAX_ELAPSED"),
            queue_bytes: reader.size("TRACES_QUEUE_BYTES"),
            schedule_delay: reader.duration("OTEL_BSP_SCHEDULE_DELAY"),
            max_queue_spans,
            max_batch_spans,
        })
    }
}

struct Endpoint {
    protocol: OtlpProtocol,
    url: Url,
    variable: &'static str,
}

fn resolve_endpoint(reader: &mut Reader<'_>) -> Option<Endpoint> {
    let protocol_variable = reader.strongest(&[
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ]);
    let wanted = protocol_variable.and_then(|variable| match reader.optional_choice(variable) {
        Some("grpc") => Some(OtlpProtocol::Grpc),
        Some(_) => Some(OtlpProtocol::HttpProtobuf),
        None => None,
    });
    let candidates: &[&'static str] = match wanted {
        None => &[TRACES_ENDPOINT, TEMPO_GRPC, TEMPO_HTTP, ENDPOINT],
        Some(OtlpProtocol::Grpc) => &[TRACES_ENDPOINT, TEMPO_GRPC, ENDPOINT],
        Some(OtlpProtocol::HttpProtobuf) => &[TRACES_ENDPOINT, TEMPO_HTTP, ENDPOINT],
    };
    let variable = reader.strongest(candidates);
    let other = reader.strongest(&[TEMPO_GRPC, TEMPO_HTTP]);
    let enabled = reader
        .optional_flag("TEMPO_ENABLED")
        .unwrap_or(variable.is_some() || other.is_some());
    if !enabled {
        return None;
    }
    let Some(variable) = variable else {
        match (protocol_variable, other) {
            (Some(protocol), Some(other)) => {
                reader.mistake(protocol, format!("does not fit {other}, the only endpoint"));
            }
            _ => reader.mistake(
                "TEMPO_ENABLED",
                "is true without an endpoint; set TEMPO_OTLP_GRPC_ENDPOINT, TEMPO_OTLP_HTTP_ENDPOINT \
                 or OTEL_EXPORTER_OTLP_ENDPOINT",
            ),
        }
        return None;
    };
    let implied = if variable == TEMPO_HTTP {
        OtlpProtocol::HttpProtobuf
    } else {
        OtlpProtocol::Grpc
    };
    let protocol = wanted.unwrap_or(implied);
    let url = reader.url(variable)?;
    if !url.username().is_empty() || url.password().is_some() {
        reader.mistake(
            variable,
            "has a user name or password; use OTEL_EXPORTER_OTLP_HEADERS",
        );
    }
    if protocol == OtlpProtocol::Grpc && url.path() != "/" {
        reader.mistake(
            variable,
            "has a path, which gRPC does not use; set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        );
    }
    let is_base = protocol == OtlpProtocol::HttpProtobuf && variable != TRACES_ENDPOINT;
    Some(Endpoint {
        protocol,
        url: if is_base { with_traces_path(url) } else { url },
        variable,
    })
}

fn with_traces_path(mut url: Url) -> Url {
    let base = url.path().trim_end_matches('/').to_owned();
    if !base.ends_with(TRACES_PATH) {
        url.set_path(&format!("{base}{TRACES_PATH}"));
    }
    url
}

/// Another value of one of these would make every export fail.
const OWN_HEADERS: [&str; 8] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "grpc-timeout",
    "host",
    "te",
    "transfer-encoding",
];

fn headers(reader: &mut Reader<'_>, variable: &'static str) -> Vec<(String, SecretString)> {
    // A token of RFC 9110, section 5.6.2.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let mut headers = reader.secret_pairs(variable);
    for (position, (name, _)) in headers.iter_mut().enumerate() {
        name.make_ascii_lowercase();
        let problem = if !name.bytes().all(is_token) {
            "a name that no header can have"
        } else if OWN_HEADERS.contains(&name.as_str()) {
            "a header that the export sets itself"
        } else {
            continue;
        };
        reader.mistake(variable, format!("has {problem} in entry {}", position + 1));
    }
    headers
}
