//! Every metric of inference is fed by real calls, and the calls add up.

use std::time::Duration;

use gatewayz_testkit::http::abort_after_head;
use gatewayz_testkit::provider::{FaultyProvider, Script, Step};
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Api, DEADLINE, spawn_in, wait_for};

/// An answer with usage.
pub(crate) const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi","refusal":null},"finish_reason":"stop","logprobs":null}],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4}}}"#;
const FIRST: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":null}]}\n\n";
const LAST: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,\"total_tokens\":10}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// A service whose two models are served by one provider that fails on command.
struct Serving {
    provider: FaultyProvider,
    api: Api,
    _directory: TempDir,
}

impl Serving {
    #[track_caller]
    fn start() -> Self {
        let provider = FaultyProvider::start();
        let catalog = format!(
            r#"
[[providers]]
name = "faulty"
kind = "openai"
base_url = "{}"
probe = false
timeouts = {{ total_seconds = 1, stream_total_seconds = 30 }}

[[models]]
id = "plain"
candidates = [{{ provider = "faulty", model = "m", price = {{ input = 2, cached_input = 0.5, output = 8 }} }}]

[[models]]
id = "kept"
cache = {{ always = true }}
candidates = [{{ provider = "faulty", model = "m", price = {{ input = 2, cached_input = 0.5, output = 8 }} }}]
"#,
            provider.base_url()
        );
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("catalog.toml"), catalog).unwrap();
        let api = spawn_in(directory.path(), &[("CATALOG_FILE", "catalog.toml")]);
        Self {
            provider,
            api,
            _directory: directory,
        }
    }

    fn body(model: &str, stream: bool) -> String {
        json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": "x" }] })
            .to_string()
    }

    /// The status of a call that the provider answers by these scripts.
    #[track_caller]
    fn call(&self, model: &str, stream: bool, scripts: impl IntoIterator<Item = Script>) -> u16 {
        for script in scripts {
            self.provider.next(script);
        }
        let body = Self::body(model, stream);
        let headers = [("content-type", "application/json")];
        let answer = self
            .api
            .request("POST", "/v1/chat/completions", &headers, body.as_bytes());
        answer.status
    }

    /// A client that leaves once the head of its answer is there.
    #[track_caller]
    fn leave(&self, script: Script) {
        self.provider.next(script);
        let body = Self::body("plain", true);
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(
            abort_after_head(self.api.address, request.as_bytes())
                .unwrap()
                .status,
            200
        );
        let cancelled = || (self.calls("plain", "cancelled") == 1.0).then_some(());
        assert_eq!(wait_for(DEADLINE, cancelled), Some(()));
    }

    fn calls(&self, model: &str, status: &str) -> f64 {
        self.sum(
            "model_inference_requests_total",
            &[("model", model), ("status", status)],
        )
    }

    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.api.scrape().sum(name, labels)
    }
}

#[test]
fn every_call_is_counted_once_by_how_it_ended_with_its_tokens_and_cost() {
    let serving = Serving::start();
    let failure = || Script::whole(502, &[("content-type", "text/html")], "<html>bad gateway</html>");
    let hang = Script::of([Step::Hang]);

    // Successes between the failures keep the breaker closed.
    let answered = [
        serving.call("plain", false, [Script::json(200, ANSWER)]),
        serving.call("plain", false, [failure(), failure(), failure()]),
        serving.call("plain", true, [Script::stream(&[FIRST, LAST, USAGE, DONE])]),
        serving.call("plain", true, [Script::open_stream(&[FIRST]).then(Step::Close)]),
        serving.call("plain", false, [hang]),
        serving.call("kept", false, [Script::json(200, ANSWER)]),
        serving.call("kept", false, []),
    ];
    serving.leave(Script::open_stream(&[FIRST]).then(Step::Forever(FIRST.into(), Duration::from_millis(5))));

    assert_eq!(answered, [200, 502, 200, 200, 504, 200, 200]);
    let by_status = ["success", "truncated", "error", "timeout", "cancelled"]
        .map(|status| serving.calls("plain", status));
    assert_eq!(by_status, [2.0, 1.0, 1.0, 1.0, 1.0]);
    assert_eq!(serving.calls("kept", "success"), 2.0);
    let of_provider = [("provider", "faulty")];
    assert_eq!(serving.sum("model_inference_requests_total", &of_provider), 8.0);
    assert_eq!(
        serving.sum("model_inference_duration_seconds_count", &of_provider),
        8.0
    );
    // The stream that was complete, the truncated one, and the one its client left.
    assert_eq!(
        serving.sum("model_inference_time_to_first_token_seconds_count", &of_provider),
        3.0
    );
    let tokens = |kind| {
        serving.sum(
            "tokens_used_total",
            &[("provider", "faulty"), ("token_type", kind)],
        )
    };
    assert_eq!(
        (tokens("input"), tokens("output")),
        (10.0 + 7.0 + 10.0, 5.0 + 3.0 + 5.0)
    );
    // Six plain input tokens at 2, four cached at 0.5, five output at 8 dollars a million; twice. Then seven and three.
    let expected = 2.0 * (6.0 * 2e-6 + 4.0 * 0.5e-6 + 5.0 * 8e-6) + 7.0 * 2e-6 + 3.0 * 8e-6;
    let credits = serving.sum("credits_used_total", &of_provider);
    assert!(
        (credits - expected).abs() < 1e-12,
        "{credits} instead of {expected}"
    );

    let cache = [("cache_name", "responses")];
    assert_eq!(serving.sum("cache_hits_total", &cache), 1.0);
    assert_eq!(serving.sum("cache_misses_total", &cache), 1.0);
    assert!(serving.sum("cache_size_bytes", &cache) > ANSWER.len() as f64);
    // The three that failed, and the six that were answered or begun.
    assert!(serving.sum("provider_response_time_seconds_count", &of_provider) >= 5.0);
    assert!(serving.sum("provider_error_rate", &of_provider) > 0.0);
    assert_eq!(serving.sum("provider_availability", &of_provider), 1.0);
}

#[test]
fn a_provider_that_keeps_failing_is_left_alone_and_shown_as_unavailable() {
    let serving = Serving::start();
    serving.provider.otherwise(Script::json(500, "{}"));

    let opened = wait_for(DEADLINE, || {
        (serving.call("plain", false, []) == 503).then_some(())
    });

    assert_eq!(opened, Some(()), "the breaker never opened");
    let asked = serving.provider.requests().len();
    assert_eq!(serving.call("plain", false, []), 503);
    assert_eq!(
        serving.provider.requests().len(),
        asked,
        "the provider was asked although its breaker is open"
    );
    let labels = [("provider", "faulty"), ("model", "plain")];
    assert_eq!(serving.sum("provider_breaker_open", &labels), 1.0);
    assert_eq!(
        serving.sum(
            "provider_breaker_open",
            &[("provider", "faulty"), ("model", "kept")]
        ),
        0.0
    );
    assert!(serving.sum("provider_error_rate", &[("provider", "faulty")]) > 0.9);
}
