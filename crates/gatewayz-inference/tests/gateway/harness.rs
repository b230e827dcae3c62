//! A gateway over faulty providers, and what tests read of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use gatewayz_inference::{
    Answer, AnswerStream, Body, Call, Catalog, FAMILIES, Gateway, GatewaySettings, InferenceError,
    InferenceOutcome,
};
use gatewayz_metrics::{Format, Registry, RegistrySettings};
use gatewayz_testkit::provider::{FaultyProvider, Script};
use secrecy::SecretString;
use serde_json::{Value, json};

/// The key of every provider in the tests.
pub(crate) const KEY: &str = "sk-upstream-secret-1234567890";

pub(crate) struct Harness {
    pub(crate) gateway: Gateway,
    pub(crate) registry: Registry,
    outcomes: Arc<Mutex<Vec<InferenceOutcome>>>,
    /// Kept open where no test looks at it.
    _provider: Option<FaultyProvider>,
}

/// An answer read to its end.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

/// A catalog with one model `m` over providers `p0`, `p1` ... in this order.
pub(crate) fn catalog(providers: &[&FaultyProvider], further: &str) -> Catalog {
    let providers: Vec<_> = providers.iter().map(|provider| provider.base_url()).collect();
    catalog_of(&providers, "timeouts = { connect_seconds = 2 }", further)
}

/// As [`catalog`], with further keys of each provider.
pub(crate) fn catalog_of(base_urls: &[String], provider: &str, further: &str) -> Catalog {
    let mut text = String::new();
    for (index, base_url) in base_urls.iter().enumerate() {
        text += &format!(
            "[[providers]]\nname = \"p{index}\"\nkind = \"openai\"\nbase_url = \"{base_url}\"\napi_key_env = \"KEY\"\n{provider}\n"
        );
    }
    text += "[[models]]\nid = \"m\"\n";
    text += further;
    for index in 0..base_urls.len() {
        text += &format!(
            "\n[[models.candidates]]\nprovider = \"p{index}\"\nmodel = \"up-{index}\"\n\
             price = {{ input = 0.15, cached_input = 0.075, output = 0.6 }}\n"
        );
    }
    Catalog::parse(&text, |_| Some(SecretString::from(KEY))).unwrap_or_else(|error| panic!("{error}"))
}

impl Harness {
    pub(crate) fn new(catalog: &Catalog) -> Self {
        Self::with(catalog, GatewaySettings::default())
    }

    pub(crate) fn with(catalog: &Catalog, settings: GatewaySettings) -> Self {
        let registry = Registry::new(&[FAMILIES], RegistrySettings::default()).unwrap();
        Self {
            gateway: Gateway::new(catalog, &registry, settings).unwrap(),
            registry,
            outcomes: Arc::default(),
            _provider: None,
        }
    }

    /// A gateway with model `m` over one provider.
    pub(crate) fn over(provider: &FaultyProvider) -> Self {
        Self::new(&catalog(&[provider], ""))
    }

    /// A gateway with model `m` over a provider whose every answer is `script`.
    pub(crate) fn answering(script: Script) -> Self {
        let provider = FaultyProvider::always(script);
        let mut harness = Self::over(&provider);
        harness._provider = Some(provider);
        harness
    }

    /// A call whose outcome is kept.
    pub(crate) fn call(&self) -> Call {
        let outcomes = Arc::clone(&self.outcomes);
        let mut call = Call::default();
        call.observer = Some(Box::new(move |outcome: &InferenceOutcome| {
            outcomes.lock().unwrap().push(outcome.clone());
        }));
        call
    }

    pub(crate) async fn chat(&self, body: &Value) -> Result<Answer, InferenceError> {
        self.gateway.chat(body.to_string().into(), self.call()).await
    }

    /// The answer read to its end, whether good or bad.
    pub(crate) async fn read(&self, body: &Value) -> Read {
        let answer = self.chat(body).await.unwrap_or_else(|error| error.answer());
        read(answer).await
    }

    /// The only outcome so far.
    #[track_caller]
    pub(crate) fn outcome(&self) -> InferenceOutcome {
        let outcomes = self.outcomes();
        assert_eq!(outcomes.len(), 1, "{outcomes:?}");
        outcomes[0].clone()
    }

    pub(crate) fn outcomes(&self) -> Vec<InferenceOutcome> {
        self.outcomes.lock().unwrap().clone()
    }

    /// The value of one series on the page, as `name{label="value"}`; `None` when it is not there.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let page = self.page();
        let mut lines = page.lines();
        lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    pub(crate) fn page(&self) -> String {
        let mut page = Vec::new();
        self.registry.render(Format::Text, &mut page);
        String::from_utf8(page).unwrap()
    }
}

pub(crate) async fn read(answer: Answer) -> Read {
    let bytes = match answer.body {
        Body::Bytes(bytes) => bytes.to_vec(),
        Body::Stream(stream) => all(stream).await,
    };
    Read {
        status: answer.status.as_u16(),
        headers: answer.headers,
        text: String::from_utf8(bytes).unwrap(),
    }
}

#[track_caller]
pub(crate) fn stream_of(answer: Answer) -> AnswerStream {
    match answer.body {
        Body::Stream(stream) => stream,
        Body::Bytes(bytes) => panic!("no stream: {bytes:?}"),
    }
}

/// The next piece of a stream that is still open.
pub(crate) async fn piece(stream: &mut AnswerStream) -> Bytes {
    let next = tokio::time::timeout(Duration::from_secs(10), stream.next());
    next.await
        .expect("a piece in time")
        .expect("a piece before the end")
        .unwrap()
}

async fn all(mut stream: AnswerStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(Ok(bytes)) = stream.next().await {
        all.extend_from_slice(&bytes);
    }
    all
}

impl Read {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks status, type and code of an error in OpenAI's form.
    #[track_caller]
    pub(crate) fn expect_error(&self, status: u16, kind: &str, code: Option<&str>) -> &Self {
        assert_eq!(self.status, status, "{}", self.text);
        let body = self.json();
        let error = body["error"]
            .as_object()
            .unwrap_or_else(|| panic!("{}", self.text));
        assert_eq!(error["type"], kind, "{error:?}");
        assert_eq!(error["code"].as_str(), code, "{error:?}");
        for key in ["message", "param"] {
            assert!(error.contains_key(key), "{error:?}");
        }
        assert_eq!(self.header("content-type"), Some("application/json"));
        self
    }
}

pub(crate) fn request() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
}

pub(crate) fn streamed() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": true})
}

/// A complete stream.
pub(crate) fn whole_stream() -> Script {
    Script::stream(&[ROLE, HELLO, STOP, USAGE, DONE])
}

/// A complete answer with this usage.
pub(crate) fn completion(input: u64, cached: u64, output: u64) -> String {
    json!({
        "id": "c-1", "object": "chat.completion", "created": 1, "model": "up-0-2026",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello", "refusal": null},
            "finish_reason": "stop", "logprobs": null}],
        "usage": {"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
            "prompt_tokens_details": {"cached_tokens": cached}},
    })
    .to_string()
}

pub(crate) const ROLE: &str = "data: {\"id\":\"c-1\",\"model\":\"up\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n";
pub(crate) const HELLO: &str = "data: {\"id\":\"c-1\",\"model\":\"up\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"},\"finish_reason\":null}],\"usage\":null}\n\n";
pub(crate) const STOP: &str = "data: {\"id\":\"c-1\",\"model\":\"up\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n";
pub(crate) const USAGE: &str = "data: {\"id\":\"c-1\",\"model\":\"up\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":11}}\n\n";
pub(crate) const DONE: &str = "data: [DONE]\n\n";
