//! Mistakes: all at once, with the variable, the allowed values and the layer, never with a value.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use gatewayz_config::{Loader, Reader};

use crate::{SCHEMA, load, load_in, mistakes};

#[track_caller]
fn check(process: &[(&str, &str)], expected: &str) {
    assert_eq!(mistakes(&load(process)), [expected], "{process:?}");
}

#[test]
fn a_mistake_names_the_variable_the_range_and_the_layer() {
    let port = "expected a whole number from 1 to 65535 (environment)";
    let time = "expected seconds from 0.1 to 300 (or a number with ms, s, m or h) (environment)";
    let size = "expected bytes from 1 KiB to 1 GiB (or a number with KiB, MiB or GiB) (environment)";
    let pairs = "expected key=value pairs with commas between, values percent-encoded (environment)";
    let url = "expected an absolute http or https URL (environment)";
    for (name, text, problem) in [
        ("PORT", "0", format!("is out of range; {port}")),
        ("PORT", "65536", format!("is out of range; {port}")),
        ("PORT", "99999999999999999999", format!("is out of range; {port}")),
        ("PORT", "-1", format!("is not a whole number; {port}")),
        ("PORT", "+80", format!("is not a whole number; {port}")),
        ("PORT", "8e3", format!("is not a whole number; {port}")),
        ("PORT", "eighty", format!("is not a whole number; {port}")),
        ("METRICS_PORT", "80 80", format!("is not a whole number; {port}")),
        (
            "LOKI_ENABLED",
            "maybe",
            "is neither true nor false; expected true or false (environment)".to_owned(),
        ),
        (
            "LOKI_RATIO",
            "1.01",
            "is out of range; expected a number from 0 to 1 (environment)".to_owned(),
        ),
        (
            "LOKI_RATIO",
            "NaN",
            "is not a number; expected a number from 0 to 1 (environment)".to_owned(),
        ),
        (
            "LOKI_RATIO",
            "inf",
            "is not a number; expected a number from 0 to 1 (environment)".to_owned(),
        ),
        (
            "LOKI_RATIO",
            "1e999",
            "is not a number; expected a number from 0 to 1 (environment)".to_owned(),
        ),
        ("LOKI_TIMEOUT", "0", format!("is out of range; {time}")),
        ("LOKI_TIMEOUT", "6m", format!("is out of range; {time}")),
        ("LOKI_TIMEOUT", "-1", format!("is out of range; {time}")),
        (
            "LOKI_TIMEOUT",
            "10 weeks",
            format!("has an unknown unit of time; {time}"),
        ),
        ("LOKI_TIMEOUT", "s", format!("is not a number; {time}")),
        (
            "LOKI_DELAY",
            "1.5",
            "is not a whole number; expected whole milliseconds from 1 to 60000 (environment)".to_owned(),
        ),
        ("LOKI_QUEUE_BYTES", "1000", format!("is out of range; {size}")),
        ("LOKI_QUEUE_BYTES", "2GiB", format!("is out of range; {size}")),
        (
            "LOKI_QUEUE_BYTES",
            "10MB",
            format!("has an unknown unit of size; {size}"),
        ),
        (
            "LOKI_QUEUE_BYTES",
            "99999999999999999GiB",
            format!("is out of range; {size}"),
        ),
        ("LOKI_PUSH_URL", "loki:3100", format!("has another scheme; {url}")),
        (
            "LOKI_PUSH_URL",
            "ftp://loki",
            format!("has another scheme; {url}"),
        ),
        (
            "LOKI_PUSH_URL",
            "//loki",
            format!("is not an absolute URL; {url}"),
        ),
        (
            "LOKI_PUSH_URL",
            "http://",
            format!("is not an absolute URL; {url}"),
        ),
        (
            "LOKI_PUSH_URL",
            "http://loki:99999",
            format!("is not an absolute URL; {url}"),
        ),
        (
            "LOKI_PUSH_URL",
            "http://loki/#top",
            format!("has a fragment; {url}"),
        ),
        ("LOKI_HEADERS", "token", format!("has no `=` in entry 1; {pairs}")),
        (
            "LOKI_HEADERS",
            "a=b,=c",
            format!("has no key in entry 2; {pairs}"),
        ),
        (
            "LOKI_HEADERS",
            "a=%zz",
            format!("has a value that does not decode to plain text in entry 1; {pairs}"),
        ),
        (
            "LOKI_HEADERS",
            "a=%0d%0ab",
            format!("has a value that does not decode to plain text in entry 1; {pairs}"),
        ),
        (
            "APP_NAME",
            "a\u{1b}[31m",
            "has control characters; expected printable text of at most 16 KiB (environment)".to_owned(),
        ),
        (
            "ENVIRONMENT",
            "prod",
            "has another value; expected one of local, production (environment)".to_owned(),
        ),
    ] {
        check(&[(name, text)], &format!("{name} {problem}"));
    }
}

#[test]
fn every_mistake_is_reported_at_once() {
    let values = load(&[
        ("PORT", "x"),
        ("LOKI_ENABLED", "x"),
        ("LOKI_TIMEOUT", "x"),
        ("ENV_FILE", "none.env"),
    ]);

    let mut reader = Reader::new(&values);
    reader.integer("PORT");
    reader.mistake("LOKI_PUSH_URL", "is needed");
    let all: Vec<String> = reader
        .finish(())
        .unwrap_err()
        .iter()
        .map(|mistake| mistake.variable.clone())
        .collect();

    assert_eq!(
        all,
        [
            "ENV_FILE",
            "PORT",
            "LOKI_ENABLED",
            "LOKI_TIMEOUT",
            "LOKI_PUSH_URL"
        ]
    );
}

#[test]
fn no_value_is_ever_part_of_a_mistake() {
    let canary = "hunter2hunter2";
    let file =
        format!("LOKI_PASSWORD={canary} {canary}\nPORT={canary}\nLOKI_HEADERS='a={canary}\n{canary}\n");
    let toml = format!("loki_password = ['{canary}']\nloki_headers = 5\nnonsense = '{canary}'\n");
    let files = [
        ("some.env", file.as_str()),
        ("settings.toml", toml.as_str()),
        ("broken.toml", "p = hunter2hunter2"),
    ];
    let process = [
        ("ENV_FILE", "some.env"),
        ("CONFIG_FILE", "settings.toml"),
        ("LOKI_PUSH_URL", "ftp://u:hunter2hunter2@loki"),
        ("LOKI_HEADERS", "a=b,hunter2hunter2"),
    ];

    let values = load_in("canary", &files, &process);
    let broken = load_in("canary", &files, &[("CONFIG_FILE", "broken.toml")]);

    assert_eq!(values.mistakes().len(), 9, "{}", values.mistakes());
    for output in [
        values.mistakes().to_string(),
        format!("{values:?}"),
        values.to_string(),
    ] {
        assert!(!output.contains("hunter2"), "{output}");
    }
    let position = mistakes(&broken).remove(0);
    assert!(
        position.starts_with("CONFIG_FILE is not TOML at line 1, column 5 (config file "),
        "{position}"
    );
}

#[test]
fn a_value_that_is_not_utf8_is_named_and_not_shown() {
    let process = [
        (
            OsString::from("LOKI_PASSWORD"),
            OsString::from_vec(b"secret\xff".to_vec()),
        ),
        (OsString::from("FOREIGN"), OsString::from_vec(b"\xff".to_vec())),
        (OsString::from_vec(b"\xfe".to_vec()), OsString::from("x")),
    ];

    let values = Loader::new(&SCHEMA, process)
        .working_directory("/nonexistent")
        .load();

    assert_eq!(mistakes(&values), ["LOKI_PASSWORD is not UTF-8 (environment)"]);
}

#[test]
fn a_file_that_was_asked_for_must_be_readable() {
    let process = [
        ("ENV_FILE", "none.env"),
        ("CONFIG_FILE", "none.toml"),
        ("LOKI_PASSWORD_FILE", "none"),
    ];

    let values = load(&process);

    assert_eq!(
        mistakes(&values),
        [
            "CONFIG_FILE names a file that cannot be read: entity not found (environment)",
            "ENV_FILE names a file that cannot be read: entity not found (environment)",
            "LOKI_PASSWORD_FILE names a file that cannot be read: entity not found; \
             expected a readable file of at most 64 KiB with one line of text (environment)",
        ]
    );
}

#[test]
fn files_are_bounded() {
    let long = "#".repeat((1 << 20) + 1);
    let files = [
        ("long.env", long.as_str()),
        ("secret", &long[..(64 << 10) + 1]),
        ("two", "a\nb\n"),
        ("none", "\n"),
    ];

    for (name, file, problem) in [
        ("ENV_FILE", "long.env", "is longer than 1048576 bytes"),
        ("CONFIG_FILE", "long.env", "is longer than 1048576 bytes"),
        ("LOKI_PASSWORD_FILE", "secret", "is longer than 65536 bytes"),
        (
            "LOKI_PASSWORD_FILE",
            "two",
            "has more than one line, or control characters",
        ),
        ("LOKI_PASSWORD_FILE", "none", "is empty"),
        ("LOKI_PASSWORD_FILE", ".", "cannot be read: is a directory"),
    ] {
        let values = load_in("bounded", &files, &[(name, file)]);

        let mistake = mistakes(&values).remove(0);
        assert!(
            mistake.starts_with(&format!("{name} names a file that {problem}")),
            "{mistake}"
        );
    }
}

#[test]
fn an_unknown_key_of_the_config_file_is_a_mistake() {
    let toml = "loki_puhs_url = 'http://loki'\n[server]\nport = 1\n";

    let values = load_in(
        "unknown",
        &[("settings.toml", toml)],
        &[("CONFIG_FILE", "settings.toml")],
    );

    let all = mistakes(&values);
    assert!(all[0].starts_with("loki_puhs_url is not a setting, did you mean LOKI_PUSH_URL? (config file "));
    assert!(all[1].starts_with("server is not a setting (config file "));
    assert_eq!(all.len(), 2);
}

#[test]
fn a_setting_in_two_spellings_of_the_config_file_is_a_mistake() {
    let loaded = load_in(
        "two_spellings",
        &[("settings.toml", "port = 1001\nPORT = 1002\nPort = 1003\n")],
        &[("CONFIG_FILE", "settings.toml")],
    );

    let told = mistakes(&loaded);
    assert_eq!(told.len(), 2, "{told:?}");
    for mistake in told {
        assert!(
            mistake.starts_with("PORT is given twice, in upper and lower case (config file "),
            "{mistake}"
        );
    }
}

#[test]
fn a_text_of_the_config_file_is_quoted() {
    let toml = "app_name = 1.10\n";

    let values = load_in(
        "quoted_toml",
        &[("settings.toml", toml)],
        &[("CONFIG_FILE", "settings.toml")],
    );

    assert!(mistakes(&values)[0].starts_with("APP_NAME is not text; write it in quotes"));
}

#[test]
fn an_open_quote_of_an_env_file_does_not_hide_the_next_line() {
    let files = [("some.env", "APP_NAME=it's\nPORT=1004\nLOKI_RATIO=a b\n'\n")];

    let values = load_in("open_quote", &files, &[("ENV_FILE", "some.env")]);

    let all = mistakes(&values);
    assert!(
        all[0].starts_with("APP_NAME is not NAME=value in line 1"),
        "{all:?}"
    );
    assert!(
        all[1].starts_with("LOKI_RATIO is not NAME=value in line 3"),
        "{all:?}"
    );
    assert!(
        all[2].starts_with("ENV_FILE is not NAME=value in line 4"),
        "{all:?}"
    );
    assert_eq!(crate::value(&values, "PORT").unwrap(), "1004");
}

#[test]
fn many_mistakes_are_counted_beyond_a_hundred() {
    let toml: String = (0..250)
        .map(|number| format!("unheard_of_{number} = 1\n"))
        .collect();

    let values = load_in(
        "many",
        &[("settings.toml", &toml)],
        &[("CONFIG_FILE", "settings.toml")],
    );

    assert_eq!(values.mistakes().len(), 250);
    assert!(values.mistakes().to_string().ends_with("\nand 150 more"));
}

#[test]
fn asking_for_something_else_than_the_schema_has_is_a_mistake() {
    let values = load(&[]);

    let mut reader = Reader::new(&values);
    reader.flag("NOT_THERE");
    reader.flag("PORT");
    reader.integer("METRICS_PORT");

    let problems = reader.finish(()).unwrap_err().to_string();
    assert_eq!(
        problems,
        "NOT_THERE is not in the schema\nNOT_THERE is not set\n\
         PORT is of another kind in the schema (default)\nMETRICS_PORT is not set"
    );
}
