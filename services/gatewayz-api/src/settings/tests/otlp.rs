//! Which endpoint spans go to, and by which protocol.

use gatewayz_config::ExposeSecret;

use super::settings;
use crate::settings::{OtlpCompression, OtlpProtocol};

const GRPC: (&str, &str) = ("TEMPO_OTLP_GRPC_ENDPOINT", "http://tempo:4317");
const HTTP: (&str, &str) = ("TEMPO_OTLP_HTTP_ENDPOINT", "http://tempo:4318");
const BASE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4000/base/");
const ROOT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317");
const TRACES: (&str, &str) = (
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "http://collector:4000/custom",
);
const BY_HTTP: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
const BY_GRPC: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");

#[track_caller]
fn check(process: &[(&str, &str)], protocol: OtlpProtocol, endpoint: &str) {
    let export = settings(process).traces.export.unwrap();

    assert_eq!(
        (export.protocol, export.endpoint.as_str()),
        (protocol, endpoint),
        "{process:?}"
    );
}

#[test]
fn the_protocol_picks_the_endpoint_of_tempo() {
    check(&[GRPC, HTTP], OtlpProtocol::Grpc, "http://tempo:4317/");
    check(&[GRPC, HTTP, BY_GRPC], OtlpProtocol::Grpc, "http://tempo:4317/");
    check(
        &[GRPC, HTTP, BY_HTTP],
        OtlpProtocol::HttpProtobuf,
        "http://tempo:4318/v1/traces",
    );
}

#[test]
fn the_only_endpoint_of_tempo_picks_the_protocol() {
    check(&[GRPC], OtlpProtocol::Grpc, "http://tempo:4317/");
    check(&[HTTP], OtlpProtocol::HttpProtobuf, "http://tempo:4318/v1/traces");
}

#[test]
fn the_endpoint_for_traces_beats_tempo_which_beats_the_general_one() {
    check(
        &[TRACES, GRPC, HTTP, BASE, BY_HTTP],
        OtlpProtocol::HttpProtobuf,
        "http://collector:4000/custom",
    );
    check(
        &[GRPC, HTTP, BASE, BY_HTTP],
        OtlpProtocol::HttpProtobuf,
        "http://tempo:4318/v1/traces",
    );
    check(
        &[GRPC, BASE, BY_HTTP],
        OtlpProtocol::HttpProtobuf,
        "http://collector:4000/base/v1/traces",
    );
    check(
        &[HTTP, ROOT],
        OtlpProtocol::HttpProtobuf,
        "http://tempo:4318/v1/traces",
    );
}

#[test]
fn a_base_gets_the_path_for_traces_and_a_full_url_stays() {
    check(
        &[BASE, BY_HTTP],
        OtlpProtocol::HttpProtobuf,
        "http://collector:4000/base/v1/traces",
    );
    check(
        &[("TEMPO_OTLP_HTTP_ENDPOINT", "http://tempo:4318/v1/traces")],
        OtlpProtocol::HttpProtobuf,
        "http://tempo:4318/v1/traces",
    );
    check(
        &[
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://tempo:4318"),
            BY_HTTP,
        ],
        OtlpProtocol::HttpProtobuf,
        "http://tempo:4318/",
    );
}

#[test]
fn a_bare_host_and_port_means_http() {
    check(&[ROOT], OtlpProtocol::Grpc, "http://collector:4317/");
    check(
        &[("TEMPO_OTLP_GRPC_ENDPOINT", "localhost:4317")],
        OtlpProtocol::Grpc,
        "http://localhost:4317/",
    );
}

#[test]
fn the_variables_for_traces_beat_the_general_ones() {
    let export = settings(&[
        GRPC,
        HTTP,
        BY_GRPC,
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "X-General=1"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "X-Traces=a%3Db,x-more=2"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "3000"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
    ])
    .traces
    .export
    .unwrap();

    assert_eq!(export.protocol, OtlpProtocol::HttpProtobuf);
    let headers: Vec<_> = export
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose_secret()))
        .collect();
    assert_eq!(headers, [("x-traces", "a=b"), ("x-more", "2")]);
    assert_eq!(export.timeout.as_millis(), 3000);
    assert_eq!(export.compression, OtlpCompression::Gzip);
}

#[test]
fn export_can_be_off_while_spans_are_recorded() {
    let not_exported = settings(&[GRPC, ("TEMPO_ENABLED", "false")]).traces;
    let not_recorded = settings(&[GRPC, ("OTEL_SDK_DISABLED", "true")]).traces;

    assert!(not_exported.recording && not_exported.export.is_none());
    assert!(not_exported.tempo_grpc_endpoint.is_some());
    assert!(!not_recorded.recording && not_recorded.export.is_none());
}
