//! OpenAI's own SDKs, as they come from their registries, against the service.

mod client;
mod faults;
mod mock;

use std::fs;

use gatewayz_testkit::skip;
use tempfile::TempDir;

use crate::harness::{Api, hashed, spawn_in};
use client::{Ready, Sdk};
use faults::Faults;

const KEY: &str = "a-key-of-the-sdk-tests";
const ECHO: &str = r#"
[[providers]]
name = "echo"
kind = "echo"

[[models]]
id = "echo"
[[models.candidates]]
provider = "echo"
model = "echo"

[[models]]
id = "vendor/echo"
[[models.candidates]]
provider = "echo"
model = "echo"

[[models]]
id = "vendor/embed"
kind = "embeddings"
[[models.candidates]]
provider = "echo"
model = "echo-embed"
"#;

/// A service with this catalog, which takes [`KEY`] alone.
struct Gateway {
    api: Api,
    base_url: String,
    _directory: TempDir,
}

impl Gateway {
    #[track_caller]
    fn start(catalog: &str, environment: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("catalog.toml"), catalog).unwrap();
        let keys = hashed("sdk", KEY);
        let own = [
            ("CATALOG_FILE", "catalog.toml"),
            ("API_KEYS_SHA256", keys.as_str()),
        ];
        let environment: Vec<_> = own.iter().chain(environment).copied().collect();
        let api = spawn_in(directory.path(), &environment);
        Self {
            base_url: format!("http://{}/v1", api.address),
            api,
            _directory: directory,
        }
    }

    /// Runs a script, which gets the base URL and the key.
    #[track_caller]
    fn serve(&self, sdk: &Ready, script: &str) {
        sdk.run(script, &[&self.base_url, KEY]);
    }
}

#[track_caller]
fn gets_its_answers(sdk: &Ready) {
    let gateway = Gateway::start(ECHO, &[]);

    gateway.serve(sdk, "answers");

    let scrape = gateway.api.scrape();
    let calls = scrape.sum("model_inference_requests_total", &[]);
    let succeeded = scrape.sum("model_inference_requests_total", &[("status", "success")]);
    assert!(calls >= 8.0, "{calls} calls");
    assert_eq!(calls, succeeded);
}

#[track_caller]
fn raises_its_own_class_for_each_refusal(sdk: &Ready) {
    let gateway = Gateway::start(ECHO, &[("API_KEY_REQUESTS_PER_MINUTE", "60")]);

    gateway.serve(sdk, "refusals");
}

#[track_caller]
fn raises_what_went_wrong_and_does_not_try_again(sdk: &Ready) {
    let faults = Faults::start();
    let gateway = Gateway::start(&faults.catalog(), &[]);

    gateway.serve(sdk, "faults");

    // The gateway has tried what there is, and told the client not to.
    let scrape = gateway.api.scrape();
    let served = |status| scrape.sum("fastapi_requests_total", &[("status_code", status)]);
    assert_eq!(["502", "429", "400"].map(served), [1.0; 3]);
    for (model, calls) in [
        ("limited", 1),
        ("picky", 1),
        ("truncated", 1),
        ("silent", 1),
        ("endless", 1),
    ] {
        assert_eq!(faults.of(model).requests().len(), calls, "{model}");
    }
    let line = gateway.api.wait_for_line(|line| line["model"] == "broken");
    assert_eq!(line["attempts"], faults.of("broken").requests().len());

    let calls = |status| scrape.sum("model_inference_requests_total", &[("status", status)]);
    let by_status = ["success", "error", "timeout", "cancelled", "truncated"].map(calls);
    assert_eq!(by_status, [0.0, 3.0, 0.0, 2.0, 1.0]);
    for model in ["silent", "endless"] {
        faults
            .of(model)
            .wait_for("the call is cancelled", |seen| seen.abandoned.first().copied());
    }
}

/// A test for each SDK, which skips itself without it.
macro_rules! for_each_sdk {
    ($($name:ident: $sdk:expr, $check:expr;)*) => {
        $(#[test]
        fn $name() {
            match $sdk.find() {
                Ok(sdk) => $check(&sdk),
                Err(reason) => skip(stringify!($name), &reason),
            }
        })*
    };
}

for_each_sdk! {
    the_python_client_gets_its_answers: Sdk::Python, gets_its_answers;
    the_async_python_client_gets_its_answers: Sdk::PythonAsync, gets_its_answers;
    the_node_client_gets_its_answers: Sdk::Node, gets_its_answers;
    the_python_client_raises_its_own_class_for_each_refusal: Sdk::Python, raises_its_own_class_for_each_refusal;
    the_async_python_client_raises_its_own_class_for_each_refusal:
        Sdk::PythonAsync, raises_its_own_class_for_each_refusal;
    the_node_client_throws_its_own_class_for_each_refusal: Sdk::Node, raises_its_own_class_for_each_refusal;
    the_python_client_raises_what_went_wrong_and_does_not_try_again:
        Sdk::Python, raises_what_went_wrong_and_does_not_try_again;
    the_async_python_client_raises_what_went_wrong_and_does_not_try_again:
        Sdk::PythonAsync, raises_what_went_wrong_and_does_not_try_again;
    the_node_client_throws_what_went_wrong_and_does_not_try_again:
        Sdk::Node, raises_what_went_wrong_and_does_not_try_again;
}
