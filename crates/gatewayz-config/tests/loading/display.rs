//! What operators see: values without secrets, and the documentation page.

use gatewayz_config::{Source, markdown};

use crate::{SCHEMA, load, value};

#[test]
fn secrets_are_hidden_and_urls_lose_their_credentials() {
    let values = load(&[
        ("LOKI_PASSWORD", "swordfish"),
        ("LOKI_HEADERS", "authorization=swordfish"),
        (
            "LOKI_PUSH_URL",
            "http://user:swordfish@loki:3100/push?token=swordfish",
        ),
        ("DATABASE_URL", "swordfish"),
        ("PORT", "swordfish"),
    ]);

    assert_eq!(value(&values, "LOKI_PASSWORD").unwrap(), "***");
    assert_eq!(value(&values, "LOKI_HEADERS").unwrap(), "***");
    assert_eq!(value(&values, "LOKI_PUSH_URL").unwrap(), "http://loki:3100/push");
    assert_eq!(value(&values, "PORT").unwrap(), "(invalid)");
    for output in [
        values.to_string(),
        format!("{values:?}"),
        values.mistakes().to_string(),
    ] {
        assert!(!output.contains("swordfish"), "{output}");
        assert!(!output.contains("DATABASE"), "{output}");
    }
}

#[test]
fn a_description_has_every_setting_with_its_source() {
    let values = load(&[("APP_NAME", "shop")]);

    let described = values.describe();

    assert_eq!(described.len(), SCHEMA.settings().count());
    let app_name = described
        .iter()
        .find(|described| described.name == "APP_NAME")
        .unwrap();
    assert_eq!(
        (app_name.value.as_deref(), app_name.is_default),
        (Some("shop"), false)
    );
    assert_eq!(app_name.source, Source::Environment);
    assert!(
        values
            .to_string()
            .contains("APP_NAME=shop  # environment\nPORT=8000  # default\n")
    );
    assert!(values.to_string().contains("#LOKI_PUSH_URL=\n"));
}

#[test]
fn the_page_has_a_row_for_every_setting() {
    let page = markdown(&SCHEMA);

    for setting in SCHEMA.settings() {
        assert!(
            page.contains(&format!("\n| `{}` | ", setting.name)),
            "{}",
            setting.name
        );
    }
    assert!(page.contains("## Service\n\nWho we are.\n\n| Variable |"));
    assert!(page.contains("| `APP_NAME` | printable text of at most 16 KiB | `app` | Name \\| label. **Read again** at SIGHUP. |"));
    assert!(page.contains("| `LOKI_ENABLED` | true or false | off without a URL | Push logs. |"));
    assert!(page.contains("| Password. **Secret**: never shown. |"));
}
