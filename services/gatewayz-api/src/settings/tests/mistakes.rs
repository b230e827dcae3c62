//! What the service refuses, with the variable and the reason.

use super::{COMPOSE_BLOCK, PUBLISHED_KEY, load, mistakes};

const PUSH: [(&str, &str); 2] = [("LOKI_ENABLED", "true"), ("LOKI_PUSH_URL", "http://loki:3100")];
const TEMPO: (&str, &str) = ("TEMPO_OTLP_HTTP_ENDPOINT", "http://tempo:4318");

/// Exactly one mistake, in these words.
#[track_caller]
fn check(process: &[(&str, &str)], expected: &str) {
    assert_eq!(mistakes(process), [expected], "{process:?}");
}

#[test]
fn a_single_value_out_of_bounds_is_named_with_its_range() {
    let seconds = |from: &str, to: &str| {
        format!("is out of range; expected seconds from {from} to {to} (or a number with ms, s, m or h)")
    };
    let bytes = |from: &str, to: &str| {
        format!("is out of range; expected bytes from {from} to {to} (or a number with KiB, MiB or GiB)")
    };
    let whole = |to: u64| format!("is not a whole number; expected a whole number from 1 to {to}");
    for (name, text, problem) in [
        ("ENVIRONMENT", "test", "has another value; expected one of local, staging, production".to_owned()),
        ("PORT", "70000", "is out of range; expected a whole number from 0 to 65535".to_owned()),
        ("WORKERS", "many", whole(1024)),
        ("WORKERS", "0", "is out of range; expected a whole number from 1 to 1024".to_owned()),
        ("HOST", "example.com", "is not an IP address; expected one such as 127.0.0.1, 0.0.0.0 or ::".to_owned()),
        ("DEMO_ROUTES", "perhaps", "is neither true nor false; expected true or false".to_owned()),
        ("SHUTDOWN_PRESTOP", "301", seconds("0", "300")),
        ("SHUTDOWN_DRAIN", "2h", seconds("0", "3600")),
        ("SHUTDOWN_FLUSH", "-5", seconds("0", "300")),
        ("LOG_FORMAT", "text", "has another value; expected one of json, bunyan, pretty".to_owned()),
        ("LOG_LEVEL", "loud", "has no level in entry 1; expected one of off, error, warn, info, debug, trace".to_owned()),
        ("LOG_LEVEL", "info,a=loud", "has no level in entry 2; expected one of off, error, warn, info, debug, trace".to_owned()),
        ("LOG_LEVEL", "info,debug", "has a second bare level in entry 2".to_owned()),
        ("LOG_LEVEL", "a b=debug", "has no target in entry 1".to_owned()),
        ("LOG_STDOUT_BUFFER_BYTES", "1", bytes("256 KiB", "1 GiB")),
        ("LOG_MAX_LINE_BYTES", "1MiB", bytes("12 KiB", "256 KiB")),
        ("LOKI_WIRE", "zstd", "has another value; expected one of protobuf, json".to_owned()),
        ("LOKI_QUEUE_BYTES", "1KiB", bytes("64 KiB", "1 GiB")),
        ("LOKI_BATCH_BYTES", "5MiB", bytes("1 KiB", "1 MiB")),
        ("LOKI_BATCH_WAIT", "0", seconds("0.01", "60")),
        ("LOKI_TIMEOUT", "1h", seconds("0.1", "300")),
        ("LOKI_BACKOFF_MAX", "11m", seconds("0.01", "600")),
        ("LOKI_RETRY_MAX_ELAPSED", "25h", seconds("0", "86400")),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "has another value; expected one of always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio".to_owned()),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5", "is out of range; expected a number from 0 to 1".to_owned()),
        ("TRACES_INCOMING_SAMPLED_PER_SECOND", "1000001", "is out of range; expected a whole number from 0 to 1000000".to_owned()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "has another value; expected one of grpc, http/protobuf".to_owned()),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "has another value; expected one of none, gzip".to_owned()),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "is not a whole number; expected whole milliseconds from 100 to 300000".to_owned()),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1", whole(1_000_000)),
        ("TRACES_QUEUE_BYTES", "2 GiB", bytes("64 KiB", "1 GiB")),
        ("TRACES_RETRY_MAX_ELAPSED", "1d", "has an unknown unit of time; expected seconds from 0 to 86400 (or a number with ms, s, m or h)".to_owned()),
    ] {
        check(&[(name, text)], &format!("{name} {problem} (environment)"));
    }
}

#[test]
fn rules_between_settings_are_named() {
    for (process, expected) in [
        (
            &[("LOKI_ENABLED", "true")] as &[(&str, &str)],
            "LOKI_PUSH_URL is not set, and LOKI_ENABLED is true",
        ),
        (
            &[("TEMPO_ENABLED", "true")],
            "TEMPO_ENABLED is true without an endpoint; set TEMPO_OTLP_GRPC_ENDPOINT, TEMPO_OTLP_HTTP_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT (environment)",
        ),
        (
            &[PUSH[0], PUSH[1], ("LOKI_USERNAME", "u")],
            "LOKI_PASSWORD is not set, and LOKI_USERNAME is",
        ),
        (
            &[PUSH[0], PUSH[1], ("LOKI_PASSWORD", "p")],
            "LOKI_USERNAME is not set, and LOKI_PASSWORD is",
        ),
        (
            &[PUSH[0], PUSH[1], ("LOKI_USERNAME", "a:b"), ("LOKI_PASSWORD", "p")],
            "LOKI_USERNAME has a colon (environment)",
        ),
        (
            &[PUSH[0], PUSH[1], ("LOKI_BEARER_TOKEN", "a b")],
            "LOKI_BEARER_TOKEN has characters other than visible ASCII (environment)",
        ),
        (
            &[PUSH[0], PUSH[1], ("LOKI_TENANT_ID", "a b")],
            "LOKI_TENANT_ID has characters other than visible ASCII (environment)",
        ),
        (
            &[
                PUSH[0],
                ("LOKI_PUSH_URL", "https://u:p@loki.example.com"),
                ("LOKI_BEARER_TOKEN", "t"),
            ],
            "LOKI_PUSH_URL has more than one way to authenticate; keep LOKI_USERNAME and LOKI_PASSWORD, LOKI_BEARER_TOKEN, or the user name in the URL (environment)",
        ),
        (
            &[PUSH[0], ("LOKI_PUSH_URL", "http://u:p@loki.example.com")],
            "LOKI_PUSH_URL sends credentials over http to a public host; use https (environment)",
        ),
        (
            &[
                PUSH[0],
                ("LOKI_PUSH_URL", "http://8.8.8.8"),
                ("LOKI_BEARER_TOKEN", "t"),
            ],
            "LOKI_PUSH_URL sends credentials over http to a public host; use https (environment)",
        ),
        (
            &[PUSH[0], PUSH[1], ("LOKI_QUEUE_BYTES", "64KiB")],
            "LOKI_BATCH_BYTES is more than LOKI_QUEUE_BYTES (default)",
        ),
        (
            &[PUSH[0], PUSH[1], ("LOKI_BACKOFF_MIN", "40")],
            "LOKI_BACKOFF_MIN is more than LOKI_BACKOFF_MAX (environment)",
        ),
        (
            &[
                ("TEMPO_OTLP_GRPC_ENDPOINT", "http://tempo.example.com"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "a=b"),
            ],
            "TEMPO_OTLP_GRPC_ENDPOINT sends headers over http to a public host; use https (environment)",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:p@tempo")],
            "OTEL_EXPORTER_OTLP_ENDPOINT has a user name or password; use OTEL_EXPORTER_OTLP_HEADERS (environment)",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://tempo:4318/v1/traces")],
            "OTEL_EXPORTER_OTLP_ENDPOINT has a path, which gRPC does not use; set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf (environment)",
        ),
        (
            &[TEMPO, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
            "OTEL_EXPORTER_OTLP_PROTOCOL does not fit TEMPO_OTLP_HTTP_ENDPOINT, the only endpoint (environment)",
        ),
        (
            &[TEMPO, ("OTEL_EXPORTER_OTLP_HEADERS", "a b=c")],
            "OTEL_EXPORTER_OTLP_HEADERS has a name that no header can have in entry 1 (environment)",
        ),
        (
            &[TEMPO, ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,Content-Length=4")],
            "OTEL_EXPORTER_OTLP_HEADERS has a header that the export sets itself in entry 2 (environment)",
        ),
        (
            &[
                ("OTEL_BSP_MAX_QUEUE_SIZE", "10"),
                ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "11"),
            ],
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE is more than OTEL_BSP_MAX_QUEUE_SIZE (environment)",
        ),
        (
            &[("ADMIN_API_KEY", "with space")],
            "ADMIN_API_KEY has characters other than visible ASCII (environment)",
        ),
        (
            &[("ADMIN_API_KEY", "short"), ("ENVIRONMENT", "staging")],
            "ADMIN_API_KEY is shorter than 22 characters, too easy to guess outside local (environment)",
        ),
        (
            &[("METRICS_TOKEN", "short"), ("ENVIRONMENT", "production")],
            "METRICS_TOKEN is shorter than 22 characters, too easy to guess outside local (environment)",
        ),
        (
            &[("ADMIN_API_KEYS_SHA256", "ops:abc")],
            "ADMIN_API_KEYS_SHA256 is not a list of keys: read admin key hash 1: expected id:hex with the 64 hex digits of \
             a SHA-256 (environment)",
        ),
        (
            &[(
                "ADMIN_API_KEYS_SHA256",
                "o p:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
            )],
            "ADMIN_API_KEYS_SHA256 is not a list of keys: read admin key hash 1: an id has 1 to 64 letters, digits, dots, \
             underscores or hyphens (environment)",
        ),
    ] {
        check(process, expected);
    }
}

#[test]
fn credentials_over_http_stay_inside() {
    for url in [
        "http://loki:3100",
        "http://127.0.0.1",
        "http://10.0.0.7",
        "http://loki.railway.internal",
    ] {
        let process = [
            PUSH[0],
            ("LOKI_PUSH_URL", url),
            ("LOKI_USERNAME", "u"),
            ("LOKI_PASSWORD", "p"),
        ];

        assert_eq!(mistakes(&process), [""; 0], "{url}");
    }
}

#[test]
fn all_mistakes_come_at_once_and_without_values() {
    let secret = "swordfish swordfish";
    let process = [
        ("PORT", secret),
        ("LOG_LEVEL", secret),
        ("LOKI_ENABLED", "true"),
        ("TEMPO_ENABLED", "true"),
        ("LOKI_BEARER_TOKEN", secret),
        ("ADMIN_API_KEY", secret),
        ("ADMIN_API_KEYS_SHA256", secret),
        ("METRICS_TOKEN", secret),
        ("OTEL_EXPORTER_OTLP_HEADERS", secret),
        ("ENVIRONMENT", secret),
    ];

    let all = mistakes(&process);

    let names: Vec<&str> = all
        .iter()
        .filter_map(|mistake| mistake.split(' ').next())
        .collect();
    assert_eq!(
        names,
        [
            "ENVIRONMENT",
            "PORT",
            "OTEL_EXPORTER_OTLP_HEADERS",
            "LOG_LEVEL",
            "LOKI_PUSH_URL",
            "LOKI_BEARER_TOKEN",
            "TEMPO_ENABLED",
            "ADMIN_API_KEYS_SHA256",
            "ADMIN_API_KEY",
            "METRICS_TOKEN",
        ]
    );
    assert!(!all.concat().contains("swordfish"));
}

#[test]
fn the_published_key_is_not_a_mistake_anywhere() {
    for environment in ["local", "staging", "production"] {
        assert_eq!(
            mistakes(&[("ENVIRONMENT", environment), ("ADMIN_API_KEY", PUBLISHED_KEY)]),
            [""; 0]
        );
    }
}

#[test]
fn variables_of_kubernetes_do_no_harm_and_typos_are_warned_about() {
    let injected = [
        ("TEMPO_PORT", "tcp://10.0.0.7:3200"),
        ("TEMPO_SERVICE_HOST", "10.0.0.7"),
        ("LOKI_SERVICE_PORT_HTTP", "3100"),
        ("GATEWAYZ_API_PORT_8000_TCP_PROTO", "tcp"),
    ];
    let odd = [
        ("TEMPO_OTLP_GRCP_ENDPOINT", "http://tempo:4317"),
        ("OTEL_TRACES_EXPORTER", "otlp"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "1"),
    ];

    let quiet = load(&[COMPOSE_BLOCK, &injected].concat());
    let warned = load(&odd);

    assert!(quiet.warnings().is_empty() && quiet.mistakes().is_empty());
    let warnings: Vec<String> = warned.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "TEMPO_OTLP_GRCP_ENDPOINT is unknown and has no effect, did you mean TEMPO_OTLP_GRPC_ENDPOINT? (environment)",
            "OTEL_TRACES_EXPORTER is not supported and has no effect (environment)",
            "OTEL_BLRP_MAX_QUEUE_SIZE is not supported and has no effect (environment)",
        ]
    );
}
