//! Defaults, env files and the typed sections.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use gatewayz_config::{ExposeSecret, Source};

use super::{COMPOSE_BLOCK, PUBLISHED_KEY, load, load_in_repository, settings};
use crate::settings::{Environment, LogFormat, LokiCredentials, LokiWire, OtlpProtocol, Sampler, Settings};

#[test]
fn nothing_has_to_be_set() {
    let settings = settings(&[]);

    assert_eq!(settings.service.app_name, "gatewayz");
    assert_eq!(settings.service.service_name, "gatewayz-api");
    assert_eq!(settings.service.environment, Environment::Local);
    assert_eq!(settings.server.host, IpAddr::V4(Ipv4Addr::LOCALHOST));
    assert_eq!(settings.server.port, 8000);
    assert_eq!(settings.server.workers, None);
    assert!(settings.server.demo_routes);
    assert_eq!(settings.log.filter, "info");
    assert_eq!(settings.log.format, LogFormat::Json);
    assert_eq!(settings.log.stdout_buffer_bytes, 8 << 20);
    assert_eq!(settings.log.max_line_bytes, 16_384);
    assert!(settings.loki.push.is_none());
    assert!(settings.traces.recording && settings.traces.export.is_none());
    assert_eq!(settings.traces.sampler, Sampler::ParentBasedAlwaysOn);
    assert_eq!(settings.traces.incoming_sampled_per_second, 1000);
    assert_eq!(settings.admin.keys.ids().count(), 0);
    assert!(settings.metrics.token.is_none() && settings.metrics.legacy_aliases);
    let shutdown = settings.shutdown;
    let seconds = [shutdown.prestop, shutdown.drain, shutdown.flush].map(|step| step.as_secs());
    assert_eq!(seconds, [5, 20, 5]);
}

#[test]
fn production_turns_off_what_is_for_trying_out() {
    let production = settings(&[("ENVIRONMENT", "production")]);
    let staging = settings(&[("ENVIRONMENT", "staging")]);
    let asked_for = settings(&[
        ("ENVIRONMENT", "production"),
        ("DEMO_ROUTES", "true"),
        ("METRICS_LEGACY_ALIASES", "1"),
    ]);

    assert!(!production.server.demo_routes && !production.metrics.legacy_aliases);
    assert!(staging.server.demo_routes && !staging.metrics.legacy_aliases);
    assert!(asked_for.server.demo_routes && asked_for.metrics.legacy_aliases);
}

#[test]
fn the_documented_compose_block_loads() {
    let settings = settings(COMPOSE_BLOCK);

    assert_eq!(settings.service.environment, Environment::Production);
    let push = settings.loki.push.unwrap();
    assert_eq!(push.url.as_str(), "http://loki:3100/loki/api/v1/push");
    assert_eq!(push.wire, LokiWire::Protobuf);
    assert_eq!((push.queue_bytes, push.batch_bytes), (10 << 20, 512 << 10));
    assert_eq!(
        (push.batch_wait, push.timeout),
        (Duration::from_secs(1), Duration::from_secs(10))
    );
    assert_eq!(
        (push.backoff_min, push.backoff_max),
        (Duration::from_millis(500), Duration::from_secs(30))
    );
    assert_eq!(push.retry_max_elapsed, Duration::from_secs(300));
    assert_eq!(settings.loki.query_url.unwrap().as_str(), "http://loki:3100/");
    let export = settings.traces.export.unwrap();
    assert_eq!(
        (export.protocol, export.endpoint.as_str()),
        (OtlpProtocol::Grpc, "http://tempo:4317/")
    );
    assert!(settings.admin.keys.holds_published_key());
}

#[test]
fn the_documented_railway_variable_loads() {
    let settings = settings(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://tempo:4317")]);

    let export = settings.traces.export.unwrap();
    assert_eq!(
        (export.protocol, export.endpoint.as_str()),
        (OtlpProtocol::Grpc, "http://tempo:4317/")
    );
    assert_eq!((export.queue_bytes, export.max_queue_spans), (16 << 20, None));
    assert_eq!(
        (export.timeout, export.schedule_delay),
        (Duration::from_secs(10), Duration::from_secs(1))
    );
    assert_eq!(export.retry_max_elapsed, Duration::from_secs(60));
}

#[test]
fn the_env_file_of_every_environment_loads() {
    for (environment, keys, pushes) in [("local", 1, false), ("staging", 0, true), ("production", 0, true)] {
        let values = load_in_repository(&[("ENVIRONMENT", environment)]);

        assert!(
            values.warnings().is_empty(),
            "{environment}: {:?}",
            values.warnings()
        );
        let settings = Settings::from_values(&values).unwrap();
        assert_eq!(settings.admin.keys.ids().count(), keys, "{environment}");
        assert_eq!(settings.loki.push.is_some(), pushes, "{environment}");
        assert_eq!(settings.traces.export.is_some(), pushes, "{environment}");
    }
}

#[test]
fn the_process_beats_the_env_file_across_names_too() {
    let process = [
        ("ENVIRONMENT", "production"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otlp.example.com"),
        ("LOKI_ENABLED", "false"),
    ];

    let values = load_in_repository(&process);

    let settings = Settings::from_values(&values).unwrap();
    let export = settings.traces.export.unwrap();
    assert_eq!(export.endpoint_variable, "OTEL_EXPORTER_OTLP_ENDPOINT");
    assert!(settings.loki.push.is_none() && settings.loki.push_url.is_some());
    assert!(matches!(values.source("LOKI_PUSH_URL"), Source::EnvFile(_)));
}

#[test]
fn the_service_name_has_one_precedence() {
    let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=third,team=a%20b");
    for (process, expected) in [
        (
            &[
                ("SERVICE_NAME", "first"),
                ("OTEL_SERVICE_NAME", "second"),
                attributes,
            ] as &[_],
            "first",
        ),
        (&[("OTEL_SERVICE_NAME", "second"), attributes], "second"),
        (&[("SERVICE_NAME", ""), attributes], "third"),
        (&[("SERVICE_NAME", " ")], "gatewayz-api"),
    ] {
        assert_eq!(settings(process).service.service_name, expected);
    }
    let resource = settings(&[attributes]).service.resource_attributes;
    assert_eq!(resource, [("team".to_owned(), "a b".to_owned())]);
}

#[test]
fn a_log_level_is_a_level_or_a_list_of_targets() {
    for (text, expected) in [
        ("DEBUG", "debug"),
        ("warning", "warn"),
        ("off", "off"),
        ("gatewayz_api=debug", "info,gatewayz_api=debug"),
        (
            "gatewayz_api::routes=TRACE, warn",
            "warn,gatewayz_api::routes=trace",
        ),
    ] {
        assert_eq!(settings(&[("LOG_LEVEL", text)]).log.filter, expected);
    }
}

#[test]
fn loki_credentials_come_from_the_variables_or_the_url() {
    let push = |process: &[(&str, &str)]| {
        settings(&[&[("LOKI_ENABLED", "true")], process].concat())
            .loki
            .push
            .unwrap()
    };

    let in_url = push(&[("LOKI_PUSH_URL", "https://user:p%40ss@logs.example.com")]);
    let basic = push(&[
        ("LOKI_PUSH_URL", "http://loki:3100"),
        ("LOKI_USERNAME", "u"),
        ("LOKI_PASSWORD", "p"),
    ]);
    let bearer = push(&[
        ("LOKI_PUSH_URL", "https://logs.example.com/push"),
        ("LOKI_BEARER_TOKEN", "t"),
    ]);

    assert_eq!(in_url.url.as_str(), "https://logs.example.com/loki/api/v1/push");
    assert!(
        matches!(&in_url.credentials, LokiCredentials::Basic { username, password }
        if username == "user" && password.expose_secret() == "p@ss")
    );
    assert_eq!(basic.url.as_str(), "http://loki:3100/loki/api/v1/push");
    assert!(matches!(&basic.credentials, LokiCredentials::Basic { username, .. } if username == "u"));
    assert_eq!(bearer.url.as_str(), "https://logs.example.com/push");
    assert!(matches!(&bearer.credentials, LokiCredentials::Bearer(token) if token.expose_secret() == "t"));
}

#[test]
fn admin_keys_may_be_several_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("admin.key");
    fs::write(&file, "gw_live_pW4sTn6cUe05GhJkBv92Qi\n").unwrap();
    let digests = format!("ops:{}, ci.1:{}", "0f".repeat(32), "AB".repeat(32));

    let settings = settings(&[
        ("ADMIN_API_KEY", PUBLISHED_KEY),
        ("ADMIN_API_KEY_FILE", file.to_str().unwrap()),
        ("ADMIN_API_KEYS_SHA256", &digests),
    ]);

    let keys = &settings.admin.keys;
    assert_eq!(
        keys.ids().collect::<Vec<_>>(),
        ["ops", "ci.1", "aed36cf8", "92453248"]
    );
}

#[test]
fn debug_output_has_no_secret() {
    let process = [
        ("ADMIN_API_KEY", "swordfish-swordfish-swordfish"),
        ("METRICS_TOKEN", "swordfish-swordfish-swordfish"),
        ("LOKI_ENABLED", "true"),
        ("LOKI_PUSH_URL", "http://u:swordfish@loki:3100"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://tempo:4317"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=swordfish"),
    ];

    let output = format!("{:?} {:?} {}", settings(&process), load(&process), load(&process));

    assert!(!output.contains("swordfish"), "{output}");
}

#[test]
fn every_sampler_of_the_specification_is_known() {
    for (name, expected) in [
        ("always_on", Sampler::AlwaysOn),
        ("always_off", Sampler::AlwaysOff),
        ("traceidratio", Sampler::TraceIdRatio(0.25)),
        ("parentbased_always_on", Sampler::ParentBasedAlwaysOn),
        ("parentbased_always_off", Sampler::ParentBasedAlwaysOff),
        ("parentbased_traceidratio", Sampler::ParentBasedTraceIdRatio(0.25)),
    ] {
        let process = [("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", "0.25")];

        assert_eq!(settings(&process).traces.sampler, expected);
    }
}
