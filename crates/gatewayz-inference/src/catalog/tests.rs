//! Reading catalogs, good and bad.

use secrecy::{ExposeSecret, SecretString};

use super::*;

const GOOD: &str = r#"
[[providers]]
name = "openai"
kind = "openai"
base_url = "https://api.openai.com/v1"
api_key_env = "OPENAI_API_KEY"
timeouts = { connect_seconds = 2, first_byte_seconds = 0.5 }

[[providers]]
name = "local"
kind = "echo"

[[models]]
id = "gpt-4.1"
cache = { ttl_seconds = 60 }

[[models.candidates]]
provider = "openai"
model = "gpt-4.1-2025-04-14"
price = { input = 2, cached_input = 0.50, output = 8.0 }

[[models.candidates]]
provider = "local"
model = "echo"
order = 1
weight = 3

[[models]]
id = "embed/small"
kind = "embeddings"
candidates = [{ provider = "local", model = "echo-embed" }]
"#;

fn key(name: &str) -> Option<SecretString> {
    (name == "OPENAI_API_KEY").then(|| SecretString::from("sk-very-secret"))
}

#[track_caller]
fn wrong(text: &str, expected: &[&str]) {
    let mistakes = Catalog::parse(text, key).unwrap_err();

    let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), expected.len(), "{mistakes}");
    for (line, start) in lines.iter().zip(expected) {
        assert!(line.starts_with(start), "{line}\n{start}");
    }
}

/// [`GOOD`] with one piece replaced.
#[track_caller]
fn wrong_with(good: &str, bad: &str, expected: &[&str]) {
    assert!(GOOD.contains(good), "{good}");
    wrong(&GOOD.replacen(good, bad, 1), expected);
}

#[test]
fn a_catalog_is_read_with_defaults() {
    let catalog = Catalog::parse(GOOD, key).unwrap();

    assert_eq!(
        catalog.model_ids().collect::<Vec<_>>(),
        ["gpt-4.1", "embed/small"]
    );
    assert_eq!(catalog.provider_names().collect::<Vec<_>>(), ["openai", "local"]);
    let provider = &catalog.providers[0];
    assert_eq!(provider.timeouts.connect, Duration::from_secs(2));
    assert_eq!(provider.timeouts.first_byte, Duration::from_millis(500));
    assert_eq!(provider.timeouts.total, Duration::from_secs(290));
    let ProviderKind::OpenAi {
        api_key: Some(api_key),
        probe: true,
        ..
    } = &provider.kind
    else {
        panic!("{provider:?}");
    };
    assert_eq!(api_key.expose_secret(), "sk-very-secret");
    let model = &catalog.models[0];
    let cache = CachePolicy {
        ttl: Duration::from_secs(60),
        always: false,
    };
    assert_eq!(model.cache, Some(cache));
    let orders: Vec<_> = model
        .candidates
        .iter()
        .map(|candidate| (candidate.order, candidate.weight))
        .collect();
    assert_eq!(orders, [(1, 1), (1, 3)]);
    assert_eq!(
        model.candidates[0].prices.cached_input,
        crate::pricing::TokenPrice::per_million("0.5").unwrap()
    );
    assert_eq!(catalog.models[1].operation, Operation::Embeddings);
}

#[test]
fn every_mistake_is_reported_at_once_with_its_line() {
    let bad = GOOD
        .replacen("\"https://api.openai.com/v1\"", "\"ftp://x\"", 1)
        .replacen("first_byte_seconds = 0.5", "first_byte = 0.5", 1)
        .replacen("cached_input = 0.50", "cached_input = \"cheap\"", 1)
        .replacen("weight = 3", "weight = 0", 1)
        .replacen("model = \"echo-embed\"", "modell = \"x\"", 1);
    wrong(
        &bad,
        &[
            "line 5: providers[0].base_url: expected an http or https URL",
            "line 7: providers[0].timeouts: has an unknown key",
            "line 20: models[0].candidates[0].price.cached_input: expected US dollars",
            "line 26: models[0].candidates[1].weight: expected a whole number",
            "line 31: models[1].candidates[0].model: is missing",
            "line 31: models[1].candidates[0]: has an unknown key",
        ],
    );
}

#[test]
fn a_catalog_that_cannot_work_is_refused() {
    wrong(
        "",
        &[
            "line 1: providers: has no usable entry",
            "line 1: models: has no usable entry",
        ],
    );
    wrong(
        "models = 3\n[[providers]]\nname=\"a\"\nkind=\"echo\"",
        &[
            "line 1: models: expected an array of tables",
            "line 1: models: has no usable entry",
        ],
    );
    wrong("a = \n", &["line 1: is not TOML"]);
    wrong_with(
        "\"OPENAI_API_KEY\"",
        "\"MISSING\"",
        &["line 6: providers[0].api_key_env: names a variable that is not set"],
    );
    wrong_with(
        "name = \"local\"",
        "name = \"openai\"",
        &[
            "line 10: providers[1].name: is taken",
            "line 23: models[0].candidates[1].provider: is not one of the providers",
            "line 31: models[1].candidates[0].provider: is not one of the providers",
        ],
    );
    wrong_with(
        "name = \"openai\"",
        "name = \"open ai\"",
        &[
            "line 3: providers[0].name: expected 1 to 64",
            "line 18: models[0].candidates[0].provider: is not one",
        ],
    );
    wrong_with(
        "name = \"local\"",
        "name = \"selftest\"",
        &[
            "line 10: providers[1].name: is reserved",
            "line 23: ",
            "line 31: ",
        ],
    );
    wrong_with(
        "id = \"gpt-4.1\"",
        "id = \"embed/small\"",
        &["line 29: models[1].id: is taken"],
    );
    wrong_with(
        "id = \"gpt-4.1\"",
        "id = \"gpt\\n\"",
        &["line 14: models[0].id: expected 1 to 128"],
    );
    wrong_with(
        "kind = \"embeddings\"",
        "kind = \"images\"",
        &["line 30: models[1].kind: expected chat or embeddings"],
    );
    wrong_with(
        "kind = \"echo\"",
        "kind = \"magic\"",
        &["line 11: providers[1].kind: expected openai or echo"],
    );
    wrong_with(
        "provider = \"local\"\nmodel = \"echo\"\norder",
        "provider = \"openai\"\nmodel = \"echo\"\norder",
        &["line 22: models[0].candidates[1]: names a provider that another candidate"],
    );
    wrong_with(
        "connect_seconds = 2",
        "connect_seconds = 0",
        &["line 7: providers[0].timeouts.connect_seconds: expected seconds"],
    );
    wrong_with(
        "kind = \"echo\"",
        "kind = \"echo\"\nbase_url = \"http://x\"",
        &["line 12: providers[1]: has an unknown key"],
    );
}

#[test]
fn a_key_goes_to_a_public_host_only_over_https() {
    let with = |url: &str| GOOD.replacen("https://api.openai.com/v1", url, 1);

    wrong(
        &with("http://api.openai.com/v1"),
        &["line 5: providers[0].base_url: would send the API key unencrypted"],
    );
    wrong(
        &with("https://user:pw@api.openai.com/v1"),
        &["line 5: providers[0].base_url: holds credentials"],
    );
    assert!(Catalog::parse(&with("http://localhost:8000/v1"), key).is_ok());
}

#[test]
fn no_message_holds_a_value() {
    let secret = "sk-pasted-by-mistake";
    for place in [
        "\"https://api.openai.com/v1\"",
        "\"OPENAI_API_KEY\"",
        "\"openai\"",
        "\"gpt-4.1\"",
        "2",
        "\"local\"",
    ] {
        let text = GOOD.replacen(place, &format!("\"{secret} \""), 1);
        if let Err(mistakes) = Catalog::parse(&text, key) {
            assert!(!mistakes.to_string().contains(secret), "{mistakes}");
        }
    }
    let broken = format!("key = {secret}");
    assert!(
        !Catalog::parse(&broken, key)
            .unwrap_err()
            .to_string()
            .contains(secret)
    );
    assert!(!format!("{:?}", Catalog::parse(GOOD, key).unwrap()).contains("very-secret"));
}

#[test]
fn the_size_is_bounded() {
    let model = |index: usize| {
        format!("[[models]]\nid = \"m{index}\"\ncandidates = [{{ provider = \"a\", model = \"m\" }}]\n")
    };
    let models = |count: usize| -> String {
        let head = "[[providers]]\nname = \"a\"\nkind = \"echo\"\n".to_owned();
        (0..count).fold(head, |text, index| text + &model(index))
    };

    assert!(Catalog::parse(&models(500), key).is_ok());
    wrong(&models(501), &["line 1504: models[500]: is more than 500 models"]);
}

#[test]
fn the_built_in_catalog_needs_nothing() {
    let catalog = Catalog::echo();

    assert_eq!(catalog.model_ids().collect::<Vec<_>>(), ["echo", "echo-embed"]);
}
