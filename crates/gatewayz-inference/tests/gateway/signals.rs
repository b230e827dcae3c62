//! Spans of attempts, the trace sent along, exemplars, and what must never be in any of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use gatewayz_inference::{Catalog, GatewaySettings, Status, TraceHeaders};
use gatewayz_metrics::{Exemplar, Format};
use gatewayz_testkit::provider::{FaultyProvider, Script, Step};
use http::{HeaderMap, HeaderValue};
use serde_json::json;
use tokio::task::LocalSet;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Span, Subscriber};

use crate::harness::{
    DONE, HELLO, Harness, KEY, ROLE, STOP, USAGE, catalog, completion, piece, read, request, stream_of,
    streamed,
};

type Fields = BTreeMap<&'static str, String>;

/// Keeps the fields of every span and event.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Fields>>>);

thread_local! {
    static KEPT: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

/// Gives spans and events to the test of their thread. One for the process: with a subscriber for each test, what
/// is enabled would depend on which thread comes to a place first.
struct ByThread;

/// Keeps what this thread says from now on.
fn kept() -> Kept {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| tracing::subscriber::set_global_default(ByThread).unwrap());
    let kept = Kept::default();
    KEPT.set(Some(kept.clone()));
    kept
}

struct Taken<'a>(&'a mut Fields);

impl Visit for Taken<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Subscriber for ByThread {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("gatewayz_inference") && KEPT.with_borrow(Option::is_some)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::from([("span", span.metadata().name().to_owned())]);
        span.record(&mut Taken(&mut fields));
        Id::from_u64(keep(|kept| {
            kept.push(fields);
            kept.len() as u64
        }))
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        keep(|kept| values.record(&mut Taken(&mut kept[span.into_u64() as usize - 1])));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::from([("level", event.metadata().level().to_string())]);
        event.record(&mut Taken(&mut fields));
        keep(|kept| kept.push(fields));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn keep<T>(change: impl FnOnce(&mut Vec<Fields>) -> T) -> T {
    KEPT.with_borrow(|kept| change(&mut kept.as_ref().unwrap().0.lock().unwrap()))
}

impl Kept {
    fn spans(&self) -> Vec<Fields> {
        let kept = self.0.lock().unwrap();
        kept.iter()
            .filter(|fields| fields.contains_key("span"))
            .cloned()
            .collect()
    }
}

#[track_caller]
fn has(span: &Fields, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(
            span.get(name).map(String::as_str),
            Some(*value),
            "{name} of {span:?}"
        );
    }
}

#[tokio::test]
async fn each_attempt_has_a_client_span_in_the_words_of_genai() {
    let kept = kept();
    let (bad, good) = (
        FaultyProvider::always(Script::json(503, "{}")),
        FaultyProvider::always(Script::stream(&[ROLE, HELLO, STOP, USAGE, DONE])),
    );
    let harness = Harness::new(&catalog(&[&bad, &good], ""));

    harness.read(&streamed()).await;

    let spans = kept.spans();
    assert_eq!(spans.len(), 2);
    let port = good
        .base_url()
        .rsplit_once(':')
        .unwrap()
        .1
        .trim_end_matches("/v1")
        .to_owned();
    has(
        &spans[0],
        &[
            ("otel.name", "chat up-0"),
            ("otel.kind", "client"),
            ("otel.status_code", "error"),
            ("error.type", "status"),
            ("http.response.status_code", "503"),
            ("peer.service", "p0"),
        ],
    );
    has(
        &spans[1],
        &[
            ("otel.name", "chat up-1"),
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "p1"),
            ("gen_ai.request.model", "up-1"),
            ("gen_ai.request.stream", "true"),
            ("gen_ai.response.id", "c-1"),
            ("gen_ai.response.model", "up"),
            ("gen_ai.response.finish_reasons", "stop"),
            ("gen_ai.usage.input_tokens", "9"),
            ("gen_ai.usage.output_tokens", "2"),
            ("http.request.resend_count", "1"),
            ("server.address", "127.0.0.1"),
            ("server.port", &port),
        ],
    );
    assert!(!spans[1].contains_key("error.type"));
    assert!(spans[1].contains_key("gen_ai.response.time_to_first_chunk"));
}

#[tokio::test]
async fn a_client_that_leaves_is_told_in_the_span() {
    let kept = kept();
    let harness = Harness::answering(Script::open_stream(&[HELLO]).then(Step::Hang));
    let answer = harness.chat(&streamed()).await.unwrap();

    drop(answer);

    has(&kept.spans()[0], &[("error.type", "cancelled")]);
}

#[tokio::test]
async fn an_attempt_that_the_shutdown_ends_says_so_in_its_span() {
    let kept = kept();
    let harness = Harness::answering(Script::of([Step::Hang]));
    let deadline = Instant::now() + Duration::from_millis(200);
    let stop = async {
        // The call waits for its provider by then.
        tokio::task::yield_now().await;
        harness.gateway.close_calls_at(deadline);
    };

    let body = request();
    tokio::join!(harness.read(&body), stop);

    has(&kept.spans()[0], &[("error.type", "server_shutting_down")]);
}

#[tokio::test]
async fn a_panic_in_an_attempt_is_one_error_and_speaks_against_nobody() {
    for body in [request(), streamed()] {
        let kept = kept();
        let trace_headers: TraceHeaders = Arc::new(|_: &Span, _: &mut HeaderMap| panic!("on purpose"));
        let settings = GatewaySettings {
            trace_headers: Some(trace_headers),
            ..GatewaySettings::default()
        };
        let harness = Harness::with(&Catalog::echo(), settings);
        let (gateway, call) = (harness.gateway.clone(), harness.call());
        let body = body.to_string().replace(r#""model":"m""#, r#""model":"echo""#);

        let panicked = panics(async move { gateway.chat(body.into(), call).await }).await;

        assert!(panicked);
        check_panicked(&harness, &kept, "echo", "echo");
    }
}

#[tokio::test]
async fn a_panic_while_a_stream_is_sent_is_one_error_too() {
    let kept = kept();
    let harness = Harness::answering(Script::open_stream(&[HELLO]).then(Step::Hang));
    let mut stream = stream_of(harness.chat(&streamed()).await.unwrap());

    let panicked = panics(async move {
        piece(&mut stream).await;
        panic!("on purpose");
    });

    assert!(panicked.await);
    check_panicked(&harness, &kept, "p0", "m");
}

/// Whether it ends with a panic. As in a server, the panic is caught before the future is dropped.
async fn panics<T: 'static>(future: impl Future<Output = T> + 'static) -> bool {
    let local = LocalSet::new();
    let task = local.spawn_local(future);
    local.run_until(task).await.is_err_and(|error| error.is_panic())
}

/// Checks that outcome, metrics and span of the only call agree on a panic.
#[track_caller]
fn check_panicked(harness: &Harness, kept: &Kept, provider: &str, model: &str) {
    let outcome = harness.outcome();
    assert_eq!(
        (outcome.status, outcome.error, outcome.attempts),
        (Status::Error, Some("panic"), 1)
    );
    let counted = |status| {
        let labels = format!(r#"provider="{provider}",model="{model}",status="{status}""#);
        harness.metric(&format!("model_inference_requests_total{{{labels}}}"))
    };
    assert_eq!((counted("error"), counted("cancelled")), (Some(1.0), Some(0.0)));
    has(
        &kept.spans()[0],
        &[("otel.status_code", "error"), ("error.type", "panic")],
    );
    let error_rate = harness.metric(&format!(r#"provider_error_rate{{provider="{provider}"}}"#));
    assert_eq!(error_rate, Some(0.0));
}

#[tokio::test]
async fn no_signal_holds_a_key_a_prompt_or_an_answer() {
    let kept = kept();
    let provider = FaultyProvider::always(Script::json(
        200,
        &completion(1, 0, 1).replace("Hello", "the-answer"),
    ));
    let harness = Harness::over(&provider);
    for script in [
        Script::json(
            500,
            &json!({"error": {"message": format!("the-answer {KEY}")}}).to_string(),
        ),
        Script::json(
            400,
            &json!({"error": {"message": format!("the-prompt {KEY}")}}).to_string(),
        ),
        Script::stream(&[
            &HELLO.replace("Hello", "the-answer"),
            "data: {\"error\":{\"message\":\"the-answer\"}}\n\n",
        ]),
    ] {
        provider.next(script);
        let body =
            json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "the-prompt"}]});
        let mut call = harness.call();
        call.header("authorization", b"Bearer client-key");
        let answered = harness.gateway.chat(body.to_string().into(), call).await;
        read(answered.unwrap_or_else(|error| error.answer())).await;
    }

    let signals = format!(
        "{:?} {} {:?}",
        kept.0.lock().unwrap(),
        harness.page(),
        harness.outcomes()
    );
    for secret in [KEY, "client-key", "the-prompt", "the-answer"] {
        assert!(!signals.contains(secret), "{secret} in {signals}");
    }
    assert!(signals.contains("Provider p0 failed"), "{signals}");
}

#[tokio::test]
async fn the_trace_goes_up_with_each_attempt() {
    let provider = FaultyProvider::always(Script::json(200, &completion(1, 0, 1)));
    provider.next(Script::json(500, "{}"));
    let numbers = Mutex::new(0);
    let trace_headers: TraceHeaders = Arc::new(move |_: &Span, headers: &mut HeaderMap| {
        let mut number = numbers.lock().unwrap();
        *number += 1;
        headers.insert(
            "traceparent",
            HeaderValue::from_str(&format!("00-trace-{number}")).unwrap(),
        );
    });
    let settings = GatewaySettings {
        trace_headers: Some(trace_headers),
        ..GatewaySettings::default()
    };
    let harness = Harness::with(&catalog(&[&provider], ""), settings);

    harness.read(&request()).await;

    let requests = provider.requests();
    let sent: Vec<_> = requests
        .iter()
        .map(|request| request.header("traceparent").unwrap())
        .collect();
    assert_eq!(sent, ["00-trace-1", "00-trace-2"]);
}

#[tokio::test]
async fn a_sampled_call_leaves_its_trace_as_exemplar() {
    let harness = Harness::answering(Script::json(200, &completion(1, 0, 1)));
    let mut call = harness.call();
    call.exemplar = Some(Exemplar {
        trace_id: [0xab; 16],
        span_id: Some([1; 8]),
        timestamp_nanos: 0,
    });

    harness
        .gateway
        .chat(request().to_string().into(), call)
        .await
        .unwrap();

    let mut page = Vec::new();
    harness.registry.render(Format::OpenMetrics, &mut page);
    let page = String::from_utf8(page).unwrap();
    let line = page.lines().find(|line| line.contains(&"ab".repeat(16))).unwrap();
    assert!(
        line.starts_with("model_inference_duration_seconds_bucket"),
        "{line}"
    );
}
