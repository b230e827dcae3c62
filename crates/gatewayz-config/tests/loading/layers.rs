//! Which layer gives a value.

use std::time::Duration;

use gatewayz_config::{ExposeSecret, Loader, Reader, Source};
use proptest::prelude::*;

use crate::{SCHEMA, directory, load, load_in, mistakes, value, warnings};

#[test]
fn each_layer_beats_the_one_below() {
    let files = [
        (
            "settings.toml",
            "app_name = 'toml'\nport = 1001\nLOKI_TIMEOUT = 1.5\nLOKI_LABELS = ['a', 'b']\n",
        ),
        ("some.env", "PORT=1002\nexport LOKI_RATIO=0.25 # comment\n"),
    ];
    let process = [
        ("CONFIG_FILE", "settings.toml"),
        ("ENV_FILE", "some.env"),
        ("LOKI_RATIO", "0.75"),
    ];

    let values = load_in("each_layer", &files, &process);

    assert_eq!(mistakes(&values), [""; 0]);
    assert_eq!(value(&values, "APP_NAME").unwrap(), "toml");
    assert_eq!(value(&values, "PORT").unwrap(), "1002");
    assert_eq!(value(&values, "LOKI_RATIO").unwrap(), "0.75");
    assert_eq!(value(&values, "LOKI_LABELS").unwrap(), "a,b");
    assert_eq!(value(&values, "LOKI_QUEUE_BYTES").unwrap(), "10MiB");
    let directory = directory("each_layer", &[]);
    assert_eq!(
        values.source("APP_NAME"),
        Source::ConfigFile(directory.join("settings.toml"))
    );
    assert_eq!(values.source("PORT"), Source::EnvFile(directory.join("some.env")));
    assert_eq!(values.source("LOKI_RATIO"), Source::Environment);
    assert_eq!(values.source("LOKI_QUEUE_BYTES"), Source::Default);
}

#[test]
fn an_empty_value_hides_the_layers_below_and_the_default_applies() {
    let files = [(
        "some.env",
        "PORT=1002\nLOKI_PUSH_URL=http://loki:3100\nAPP_NAME=''\n",
    )];
    let process = [("ENV_FILE", "some.env"), ("PORT", ""), ("LOKI_PUSH_URL", "  ")];

    let values = load_in("empty", &files, &process);

    assert_eq!(mistakes(&values), [""; 0]);
    assert_eq!(value(&values, "PORT").unwrap(), "8000");
    assert_eq!(value(&values, "APP_NAME").unwrap(), "app");
    assert_eq!(value(&values, "LOKI_PUSH_URL"), None);
    assert_eq!(values.source("PORT"), Source::Default);
}

#[test]
fn the_environment_chooses_the_env_file() {
    let files = [
        ("deploy/env/local.env", "APP_NAME=from-local\n"),
        ("deploy/env/production.env", "APP_NAME=from-production\n"),
    ];

    for (process, expected) in [
        (&[] as &[(&str, &str)], "from-local"),
        (&[("ENVIRONMENT", "")], "from-local"),
        (&[("ENVIRONMENT", "Development")], "from-local"),
        (&[("ENVIRONMENT", "production")], "from-production"),
    ] {
        let values = load_in("chooses", &files, process);

        assert_eq!(value(&values, "APP_NAME").unwrap(), expected, "{process:?}");
        assert_eq!(mistakes(&values), [""; 0]);
    }
}

#[test]
fn an_unknown_environment_names_no_file() {
    let files = [
        ("other.env", "APP_NAME=elsewhere\n"),
        ("deploy/env/local.env", "APP_NAME=from-local\n"),
    ];

    let values = load_in("traversal", &files, &[("ENVIRONMENT", "../../other")]);

    assert_eq!(value(&values, "APP_NAME").unwrap(), "app");
    assert_eq!(
        mistakes(&values),
        ["ENVIRONMENT has another value; expected one of local, production (environment)"]
    );
}

#[test]
fn a_missing_file_of_the_environment_is_fine() {
    let values = load(&[("ENVIRONMENT", "production")]);

    assert_eq!(mistakes(&values), [""; 0]);
}

#[test]
fn an_env_file_may_repeat_the_environment_but_not_change_it() {
    let files = [("some.env", "ENVIRONMENT=production\nAPP_NAME=x\n")];

    let same = load_in(
        "repeats",
        &files,
        &[("ENV_FILE", "some.env"), ("ENVIRONMENT", "production")],
    );
    let other = load_in("repeats", &files, &[("ENV_FILE", "some.env")]);

    assert_eq!(mistakes(&same), [""; 0]);
    assert_eq!(value(&other, "ENVIRONMENT").unwrap(), "local");
    assert!(mistakes(&other)[0].starts_with("ENVIRONMENT is set where it has no effect"));
}

#[test]
fn service_links_of_kubernetes_are_not_settings() {
    let values = load(&[
        ("LOKI_PORT", "tcp://10.0.0.7:3100"),
        ("LOKI_PORT_3100_TCP_ADDR", "10.0.0.7"),
        ("LOKI_SERVICE_HOST", "10.0.0.7"),
        ("LOKI_SERVICE_PORT_HTTP", "3100"),
        ("METRICS_PORT", "tcp://10.0.0.8:9090"),
    ]);

    assert_eq!(mistakes(&values), [""; 0]);
    assert_eq!(warnings(&values), [""; 0]);
    assert_eq!(value(&values, "METRICS_PORT"), None);
}

#[test]
fn unknown_names_that_look_like_ours_are_warned_about() {
    let values = load(&[
        ("LOKI_PUHS_URL", "http://loki"),
        ("LOKI_FLAVOUR", "new"),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("METRICS_PRT", "1"),
        ("HOME", "/root"),
        ("PORTS", "1"),
    ]);

    assert_eq!(
        warnings(&values),
        [
            "LOKI_PUHS_URL is unknown and has no effect, did you mean LOKI_PUSH_URL? (environment)",
            "LOKI_FLAVOUR is unknown and has no effect (environment)",
            "OTEL_METRICS_EXPORTER is not supported and has no effect (environment)",
            "METRICS_PRT is unknown and has no effect, did you mean METRICS_PORT? (environment)",
        ]
    );
}

#[test]
fn a_numeric_looking_value_stays_as_it_is() {
    let values = load(&[("APP_NAME", "007"), ("LOKI_PASSWORD", "1e10")]);

    let mut reader = Reader::new(&values);
    let read = (reader.text("APP_NAME"), reader.secret("LOKI_PASSWORD").unwrap());

    assert_eq!(read.0, "007");
    assert_eq!(read.1.expose_secret(), "1e10");
}

#[test]
fn values_are_read_in_their_kinds() {
    let values = load(&[
        ("LOKI_ENABLED", "Yes"),
        ("LOKI_GRPC_URL", "tempo:4317"),
        ("LOKI_TIMEOUT", "500ms"),
        ("LOKI_DELAY", "250"),
        ("LOKI_QUEUE_BYTES", "512 KiB"),
        ("LOKI_HEADERS", "Authorization=Basic%20dTpw, x-a = b"),
        ("LOKI_LABELS", "a, b,,c"),
    ]);

    let mut reader = Reader::new(&values);
    assert!(reader.flag("LOKI_ENABLED"));
    assert_eq!(
        reader.url("LOKI_GRPC_URL").unwrap().as_str(),
        "http://tempo:4317/"
    );
    assert_eq!(reader.duration("LOKI_TIMEOUT"), Duration::from_millis(500));
    assert_eq!(reader.duration("LOKI_DELAY"), Duration::from_millis(250));
    assert_eq!(reader.size("LOKI_QUEUE_BYTES"), 512 << 10);
    assert_eq!(reader.number("LOKI_RATIO"), 0.5);
    assert_eq!(reader.list("LOKI_LABELS"), ["a", "b", "c"]);
    let pairs = reader.pairs("LOKI_HEADERS");
    assert_eq!(
        pairs,
        [
            ("Authorization".into(), "Basic dTpw".into()),
            ("x-a".into(), "b".into())
        ]
    );
    assert!(reader.finish(()).is_ok());
}

#[test]
fn a_secret_may_come_from_a_file_and_the_higher_layer_wins() {
    let files = [
        ("password", "from-file\n"),
        ("some.env", "LOKI_PASSWORD=from-env-file\n"),
    ];

    let higher = load_in(
        "secret_file",
        &files,
        &[("ENV_FILE", "some.env"), ("LOKI_PASSWORD_FILE", "password")],
    );
    let both = load_in(
        "secret_file",
        &files,
        &[("LOKI_PASSWORD", "p"), ("LOKI_PASSWORD_FILE", "password")],
    );

    let mut reader = Reader::new(&higher);
    let secret = reader
        .secret_or_file("LOKI_PASSWORD", "LOKI_PASSWORD_FILE")
        .unwrap();
    assert_eq!(secret.expose_secret(), "from-file");
    let mut reader = Reader::new(&both);
    reader.secret_or_file("LOKI_PASSWORD", "LOKI_PASSWORD_FILE");
    let problems = reader.finish(()).unwrap_err().to_string();
    assert_eq!(
        problems,
        "LOKI_PASSWORD is set together with LOKI_PASSWORD_FILE; keep one of them (environment)"
    );
}

#[test]
fn the_strongest_name_is_of_the_highest_layer_and_then_the_first() {
    let files = [("some.env", "LOKI_PUSH_URL=http://a\nLOKI_GRPC_URL=http://b\n")];

    let same = load_in("strongest", &files, &[("ENV_FILE", "some.env")]);
    let higher = load_in(
        "strongest",
        &files,
        &[("ENV_FILE", "some.env"), ("LOKI_GRPC_URL", "http://c")],
    );

    let names = ["LOKI_PUSH_URL", "LOKI_GRPC_URL"];
    assert_eq!(Reader::new(&same).strongest(&names), Some("LOKI_PUSH_URL"));
    assert_eq!(Reader::new(&higher).strongest(&names), Some("LOKI_GRPC_URL"));
    assert_eq!(Reader::new(&load(&[])).strongest(&names), None);
}

#[test]
fn an_env_file_may_have_a_byte_order_mark_and_windows_line_ends() {
    let files = [(
        "some.env",
        "\u{feff}APP_NAME=\"a b\"\r\nPORT=1003 \r\n\r\n# comment\r\n",
    )];

    let values = load_in("windows", &files, &[("ENV_FILE", "some.env")]);

    assert_eq!(mistakes(&values), [""; 0]);
    assert_eq!(value(&values, "APP_NAME").unwrap(), "a b");
    assert_eq!(value(&values, "PORT").unwrap(), "1003");
}

#[test]
fn a_dollar_in_an_env_file_is_an_ordinary_character() {
    let text = "APP_NAME=a$HOME${PATH}\\$b\nLOKI_LABELS='$HOME'\n";

    let values = load_in("dollar", &[("some.env", text)], &[("ENV_FILE", "some.env")]);

    assert_eq!(value(&values, "APP_NAME").unwrap(), "a$HOME${PATH}$b");
    assert_eq!(value(&values, "LOKI_LABELS").unwrap(), "$HOME");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_quoted_text_of_an_env_file_is_taken_as_written(text in "[!-&(-~][ -&(-~]{0,30}[!-&(-\\[\\]-~]") {
        let file = format!("APP_NAME='{text}'\n");

        let values = load_in("quoted", &[("some.env", &file)], &[("ENV_FILE", "some.env")]);

        prop_assert_eq!(value(&values, "APP_NAME"), Some(text));
    }

    #[test]
    fn no_environment_makes_loading_panic(
        variables in proptest::collection::vec(("[A-Z_]{0,20}|PORT|LOKI_TIMEOUT|LOKI_HEADERS|LOKI_PUSH_URL|LOKI_QUEUE_BYTES", ".{0,40}"), 0..8)
    ) {
        let values = Loader::new(&SCHEMA, variables).working_directory("/nonexistent").load();

        prop_assert!(!values.to_string().is_empty());
    }
}
