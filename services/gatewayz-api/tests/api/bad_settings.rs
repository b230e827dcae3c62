//! What a wrong setting is answered at start, and the commands beside `serve`.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use gatewayz_testkit::process::{Service, Signal};
use serde_json::Value;

use crate::harness::{DEADLINE, binary, repository, spawn, wait_for};

/// A finished command: exit status, lines on stdout, lines on stderr.
struct Finished {
    code: Option<i32>,
    stdout: Vec<String>,
    stderr: Vec<String>,
}

/// Runs the service with these arguments and exactly these variables in an empty directory, to its end.
#[track_caller]
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    run_in(tempfile::tempdir().unwrap().path(), arguments, environment)
}

#[track_caller]
fn run_in(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    let mut service = Service::start(binary(), arguments, environment, directory).unwrap();
    let status = service.wait_exit(DEADLINE).unwrap();
    Finished {
        code: status.code(),
        stdout: service.stdout(),
        stderr: service.stderr(),
    }
}

fn taken_port() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    (listener, port)
}

#[test]
fn a_setting_that_cannot_be_used_ends_the_start_with_its_name_range_and_source() {
    // Were it tried, binding would fail with another exit status.
    let (_listener, port) = taken_port();
    let cases = [
        ("HOST", "nowhere.invalid", "expected one such as 127.0.0.1"),
        ("WORKERS", "0", "expected a whole number from 1 to 1024"),
        (
            "ENVIRONMENT",
            "prod",
            "expected one of local, staging, production",
        ),
        ("LOG_FORMAT", "xml", "expected one of json, bunyan, pretty"),
        (
            "LOG_LEVEL",
            "loud",
            "expected one of off, error, warn, info, debug, trace",
        ),
        ("DEMO_ROUTES", "maybe", "expected true or false"),
        ("SHUTDOWN_DRAIN", "-1", "expected seconds from 0 to 3600"),
        ("LOKI_QUEUE_BYTES", "1", "expected bytes from 64 KiB to 1 GiB"),
        (
            "LOKI_PUSH_URL",
            "http://someone:canary@no host/",
            "expected an absolute http or https URL",
        ),
        (
            "TEMPO_OTLP_HTTP_ENDPOINT",
            "ftp://canary/",
            "expected an absolute http or https URL",
        ),
        ("OTEL_TRACES_SAMPLER_ARG", "2.0", "expected a number from 0 to 1"),
        (
            "OTEL_TRACES_SAMPLER",
            "canary",
            "expected one of always_on, always_off",
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "canary-no-pair",
            "expected key=value pairs",
        ),
        ("ADMIN_API_KEYS_SHA256", "canary", "id:hex"),
        ("ADMIN_API_KEY", "changeme-canary-changeme", "placeholder"),
        ("ADMIN_API_KEY", "canary", "shorter than 16 characters"),
        (
            "ADMIN_API_KEY_FILE",
            "/nowhere/canary",
            "a file that cannot be read",
        ),
        ("ENV_FILE", "/nowhere/canary", "a file that cannot be read"),
        ("CONFIG_FILE", "/nowhere/canary", "a file that cannot be read"),
    ];
    for (variable, value, range) in cases {
        let environment = [("PORT", port.as_str()), (variable, value)];

        let served = run(&[], &environment);
        let checked = run(&["check-config"], &environment);

        assert_eq!(
            (served.code, checked.code),
            (Some(78), Some(78)),
            "{variable}: {:?}",
            served.stderr
        );
        assert_eq!(served.stdout, Vec::<String>::new());
        assert_eq!(served.stderr, checked.stderr);
        let [line] = served.stderr.as_slice() else {
            panic!("{variable}: {:?}", served.stderr)
        };
        assert!(line.starts_with(&format!("{variable} ")), "{line}");
        assert!(line.contains(range) && line.ends_with("(environment)"), "{line}");
        let shown_path = variable.ends_with("_FILE");
        assert!(!line.contains("canary") && (shown_path || !checked.stdout.concat().contains("canary")));
    }
}

#[test]
fn a_port_that_is_none_is_refused() {
    for port in ["http", "65536", "-1", "80.5", "0x50"] {
        let served = run(&[], &[("PORT", port)]);

        assert_eq!(served.code, Some(78), "{port}");
        let [line] = served.stderr.as_slice() else {
            panic!("{port}: {:?}", served.stderr)
        };
        assert!(
            line.starts_with("PORT ") && line.ends_with("from 0 to 65535 (environment)"),
            "{line}"
        );
    }
}

#[test]
fn mistakes_end_with_a_line_feed() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&[][..], &["check-config"], &["healthcheck"]] {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .env_clear()
            .env("PORT", "http")
            .current_dir(&directory);

        let stderr = String::from_utf8(command.output().unwrap().stderr).unwrap();

        assert!(stderr.ends_with("(environment)\n"), "{arguments:?}: {stderr:?}");
    }
}

#[test]
fn all_mistakes_of_all_layers_are_told_at_once_and_no_value_of_them() {
    let (_listener, port) = taken_port();
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    file(
        "some.toml",
        "workers = 0\nbogus_key = \"canary-toml\"\nADMIN_API_KEYS_SHA256 = \"canary-digest\"\n",
    );
    file(
        "some.env",
        "LOG_FORMAT=canary-format\nLOKI_PASSWORD=canary-password\nOTEL_TRACES_SAMPLER_ARG=2.0\n",
    );
    let environment = [
        ("PORT", port.as_str()),
        ("CONFIG_FILE", "some.toml"),
        ("ENV_FILE", "some.env"),
        ("LOKI_PUSH_URL", "http://someone:canary-userinfo@no host/"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "canary-header"),
        ("METRICS_TOKEN", "canary token"),
        ("ADMIN_API_KEY", "canary\u{e9}-key"),
    ];

    let served = run_in(directory.path(), &[], &environment);
    let checked = run_in(directory.path(), &["check-config"], &environment);

    assert_eq!((served.code, checked.code), (Some(78), Some(78)));
    assert_eq!(served.stdout, Vec::<String>::new());
    for (variable, source) in [
        ("WORKERS", "some.toml)"),
        ("bogus_key", "some.toml)"),
        ("ADMIN_API_KEYS_SHA256", "some.toml)"),
        ("LOG_FORMAT", "some.env)"),
        ("OTEL_TRACES_SAMPLER_ARG", "some.env)"),
        ("LOKI_PUSH_URL", "(environment)"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "(environment)"),
        ("METRICS_TOKEN", "(environment)"),
        ("ADMIN_API_KEY", "(environment)"),
    ] {
        let told = |line: &&String| line.starts_with(&format!("{variable} ")) && line.ends_with(source);
        assert!(
            served.stderr.iter().any(|line| told(&line)),
            "{variable}: {:#?}",
            served.stderr
        );
        assert!(
            checked.stderr.iter().any(|line| told(&line)),
            "{variable}: {:#?}",
            checked.stderr
        );
    }
    for line in served.stderr.iter().chain(&checked.stdout).chain(&checked.stderr) {
        assert!(!line.contains("canary"), "{line}");
    }
}

#[test]
fn check_config_tells_every_variable_and_where_its_value_is_from() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("deploy/env");
    fs::create_dir_all(&folder).unwrap();
    fs::write(
        folder.join("staging.env"),
        "SERVICE_NAME=from-env-file\nAPP_NAME=hidden\nLOG_LEVEL=\n",
    )
    .unwrap();
    fs::write(
        directory.path().join("some.toml"),
        "shutdown_drain = 7\nLOG_LEVEL = \"debug\"\n",
    )
    .unwrap();
    let environment = [
        ("ENVIRONMENT", "staging"),
        ("CONFIG_FILE", "some.toml"),
        ("APP_NAME", "from-process"),
        ("ADMIN_API_KEY", "q7Zx-Wm3vT9kRb2LdN5sYh"),
        ("LOKI_PUSH_URL", "http://127.0.0.1:3100/?key=canary"),
        ("LOKI_QUERY_URL", "http://someone:canary@127.0.0.1:3100/"),
    ];

    let checked = run_in(directory.path(), &["check-config"], &environment);

    assert_eq!(checked.code, Some(0), "{:?}", checked.stderr);
    let line = |name: &str| {
        let mut lines = checked
            .stdout
            .iter()
            .filter(|line| line.trim_start_matches('#').split('=').next() == Some(name));
        let line = lines.next().unwrap_or_else(|| panic!("{name} is not told"));
        assert_eq!(lines.next(), None, "{name} is told twice");
        line.as_str()
    };
    let guide = fs::read_to_string(repository().join("docs/CONFIGURATION.md")).unwrap();
    let documented: BTreeSet<&str> = guide
        .lines()
        .filter_map(|row| row.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    assert!(documented.len() > 50, "{documented:?}");
    assert_eq!(checked.stdout.len(), documented.len());
    for name in documented {
        let line = line(name);
        assert!(line.starts_with('#') || line.contains("  # "), "{line}");
    }
    assert_eq!(line("APP_NAME"), "APP_NAME=from-process  # environment");
    assert_eq!(
        line("LOG_LEVEL"),
        "LOG_LEVEL=info  # default",
        "empty hides the layers below"
    );
    assert!(
        line("SERVICE_NAME").starts_with("SERVICE_NAME=from-env-file  # "),
        "{}",
        line("SERVICE_NAME")
    );
    assert!(
        line("SERVICE_NAME").ends_with("deploy/env/staging.env"),
        "{}",
        line("SERVICE_NAME")
    );
    assert!(line("SHUTDOWN_DRAIN").starts_with("SHUTDOWN_DRAIN=7  # "));
    assert!(line("SHUTDOWN_DRAIN").ends_with("some.toml"));
    assert_eq!(line("ADMIN_API_KEY"), "ADMIN_API_KEY=***  # environment");
    assert!(!checked.stdout.concat().contains("canary"));
}

#[test]
fn a_misspelt_variable_is_warned_about_and_harms_nothing() {
    let checked = run(&["check-config"], &[("LOKI_PUSH_ULR", "http://canary/")]);

    assert_eq!(checked.code, Some(0));
    let [line] = checked.stderr.as_slice() else {
        panic!("{:?}", checked.stderr)
    };
    assert!(
        line.contains("LOKI_PUSH_ULR") && line.contains("LOKI_PUSH_URL"),
        "{line}"
    );
    assert!(!line.contains("canary"));
}

#[test]
fn a_taken_port_is_a_clear_error() {
    let (_listener, port) = taken_port();

    let served = run(&[], &[("PORT", &port)]);

    assert_eq!(served.code, Some(1));
    let [line] = served.stderr.as_slice() else {
        panic!("{:?}", served.stderr)
    };
    assert!(
        line.contains(&format!("listen on 127.0.0.1:{port}: Address already in use")),
        "{line}"
    );
    for line in served.stdout {
        assert!(serde_json::from_str::<Value>(&line).unwrap().is_object());
    }
}

#[test]
fn keygen_makes_a_new_key_whose_digest_opens_the_service() {
    let value = |line: &String, name: &str| line.strip_prefix(&format!("{name}=")).unwrap().to_owned();
    let made = [(); 2].map(|()| {
        let made = run(&["keygen"], &[]);
        assert_eq!(made.code, Some(0));
        (
            value(&made.stdout[0], "ADMIN_API_KEY"),
            value(&made.stdout[1], "ADMIN_API_KEYS_SHA256"),
        )
    });
    let [(key, digest), other] = made;

    let api = spawn(&[("ENVIRONMENT", "production"), ("ADMIN_API_KEYS_SHA256", &digest)]);
    let status = |key: &str| {
        let authorization = format!("Bearer {key}");
        api.request(
            "GET",
            "/api/instrumentation/config",
            &[("Authorization", &authorization)],
            b"",
        )
        .status
    };

    assert_ne!(key, other.0);
    assert_eq!((status(&key), status(&other.0)), (200, 401));
}

#[test]
fn openapi_prints_the_document_that_is_served() {
    let printed = run(&["openapi"], &[]);
    let served: Value = serde_json::from_slice(&spawn(&[]).get("/openapi.json").body).unwrap();

    assert_eq!(printed.code, Some(0));
    let printed: Value = serde_json::from_str(&printed.stdout.join("\n")).unwrap();
    assert_eq!(printed, served);
    assert_eq!(printed["openapi"], "3.1.0");
}

#[test]
fn healthcheck_tells_whether_the_service_of_its_settings_is_ready() {
    let api = spawn(&[("SHUTDOWN_PRESTOP", "60")]);
    let port = api.address.port().to_string();
    let (listener, free_port) = taken_port();
    drop(listener);

    let ready = run(&["healthcheck"], &[("PORT", &port), ("HOST", "0.0.0.0")]);
    let nobody = run(&["healthcheck"], &[("PORT", &free_port)]);
    api.service.signal(Signal::TERM).unwrap();
    wait_for(DEADLINE, || (api.get("/ready").status == 503).then_some(())).unwrap();
    let draining = run(&["healthcheck"], &[("PORT", &port)]);

    assert_eq!((ready.code, ready.stderr), (Some(0), Vec::new()));
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.stderr.concat().contains(&free_port), "{:?}", nobody.stderr);
    assert_eq!(draining.code, Some(1));
    assert!(draining.stderr.concat().contains("503"), "{:?}", draining.stderr);
}
