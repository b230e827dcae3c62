//! The cache: what is kept, for whom, and what it costs.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use gatewayz_inference::{CacheStatus, Call, Catalog, GatewaySettings, Status, UsageSource};
use gatewayz_testkit::provider::{FaultyProvider, Script, Step};
use serde_json::{Value, json};

use crate::harness::{
    DONE, HELLO, Harness, ROLE, Read, STOP, USAGE, catalog, catalog_of, completion, piece, read, stream_of,
};

const SLOW: Duration = Duration::from_millis(500);
const POLICY: &str = "cache = { ttl_seconds = 60 }\n";

fn provider() -> FaultyProvider {
    FaultyProvider::always(Script::json(200, &completion(1_000, 0, 10)))
}

fn seeded() -> Value {
    json!({"model": "m", "seed": 7, "messages": [{"role": "user", "content": "hi"}]})
}

fn seeded_stream() -> Value {
    json!({"model": "m", "seed": 7, "messages": [{"role": "user", "content": "hi"}], "stream": true})
}

/// An answer with two choices, without an index as some providers have it.
fn two_choices(one: Value, other: Value) -> String {
    let choice =
        |reason: Value| json!({"message": {"role": "assistant", "content": "x"}, "finish_reason": reason});
    json!({"object": "chat.completion", "choices": [choice(one), choice(other)]}).to_string()
}

/// A complete answer that takes a while.
fn slow() -> Script {
    let body = completion(1, 0, 1);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    Script::of([
        Step::Raw(head.into_bytes()),
        Step::Pause(SLOW),
        Step::Raw(body.into_bytes()),
    ])
}

/// The time from the second request to the last.
fn spread(provider: &FaultyProvider) -> Duration {
    let requests = provider.requests();
    requests[requests.len() - 1].at - requests[1].at
}

async fn send(harness: &Harness, body: &Value, change: impl FnOnce(&mut Call)) -> Read {
    let mut call = harness.call();
    change(&mut call);
    read(harness.gateway.chat(body.to_string().into(), call).await.unwrap()).await
}

fn cache(read: &Read) -> Option<&str> {
    read.header("x-gatewayz-cache")
}

#[tokio::test]
async fn the_same_request_is_answered_once() {
    let provider = provider();
    let harness = Harness::new(&catalog(&[&provider], POLICY));

    let first = harness.read(&seeded()).await;
    let reordered =
        json!({"messages": [{"content": "hi", "role": "user"}], "seed": 7, "model": "m", "user": "u"});
    let second = harness.read(&reordered).await;

    assert_eq!((cache(&first), cache(&second)), (Some("miss"), Some("hit")));
    assert_eq!(first.text, second.text);
    assert_eq!(provider.requests().len(), 1);
    let hit = &harness.outcomes()[1];
    assert_eq!(
        (hit.cache, hit.attempts, hit.usage_source),
        (CacheStatus::Hit, 0, UsageSource::None)
    );
    assert_eq!(hit.cost.picodollars(), 0);
    let tokens = r#"tokens_used_total{provider="p0",model="m",token_type="input"}"#;
    assert_eq!(harness.metric(tokens), Some(1_000.0));
    assert_eq!(
        harness.metric(r#"cache_hits_total{cache_name="responses"}"#),
        Some(1.0)
    );
    assert_eq!(
        harness.metric(r#"cache_misses_total{cache_name="responses"}"#),
        Some(1.0)
    );
    let size = harness
        .metric(r#"cache_size_bytes{cache_name="responses"}"#)
        .unwrap();
    assert!(size >= first.text.len() as f64, "{size}");
}

#[tokio::test]
async fn another_request_is_another_answer() {
    let provider = provider();
    let harness = Harness::new(&catalog(&[&provider], POLICY));
    harness.read(&seeded()).await;

    for (key, value) in [
        ("seed", json!(8)),
        ("n", json!(2)),
        ("tools", json!([])),
        ("stop", json!("x")),
    ] {
        let mut body = seeded();
        body[key] = value;
        assert_eq!(cache(&harness.read(&body).await), Some("miss"), "{key}");
    }
    let tenant = send(&harness, &seeded(), |call| call.tenant = Some(Arc::from("other"))).await;
    assert_eq!(cache(&tenant), Some("miss"));
}

#[tokio::test]
async fn only_repeatable_requests_of_models_with_a_policy_are_kept() {
    let mut free = seeded();
    free.as_object_mut().unwrap().shift_remove("seed");
    for (policy, body, expected) in [
        ("", seeded(), "bypass"),
        ("cache = { enabled = false }\n", seeded(), "bypass"),
        (POLICY, free.clone(), "bypass"),
        ("cache = { always = true }\n", free, "hit"),
    ] {
        let provider = provider();
        let harness = Harness::new(&catalog(&[&provider], policy));
        harness.read(&body).await;

        assert_eq!(cache(&harness.read(&body).await), Some(expected), "{policy}");
    }
}

#[tokio::test]
async fn the_clients_cache_control_is_obeyed() {
    let provider = provider();
    let harness = Harness::new(&catalog(&[&provider], POLICY));
    let with = async |value: &str| {
        send(&harness, &seeded(), |call| {
            call.header("Cache-Control", value.as_bytes());
        })
        .await
    };

    assert_eq!(cache(&with("no-store").await), Some("bypass"));
    assert_eq!(
        cache(&with("max-age=60").await),
        Some("miss"),
        "no-store kept nothing"
    );
    assert_eq!(cache(&with("no-cache").await), Some("bypass"));
    assert_eq!(cache(&with("max-age=60").await), Some("hit"));
    assert_eq!(cache(&with("max-age=0").await), Some("bypass"));
    assert_eq!(provider.requests().len(), 4);
}

#[tokio::test]
async fn only_complete_answers_are_kept() {
    for bad in [
        Script::json(
            200,
            &completion(1, 0, 1).replace("\"stop\"", "\"content_filter\""),
        ),
        Script::json(400, r#"{"error":{"message":"no"}}"#),
        Script::json(200, &completion(1, 0, 1).replace("\"stop\"", "null")),
        Script::json(200, &two_choices(json!("content_filter"), json!("stop"))),
        Script::json(200, &two_choices(json!("stop"), json!("content_filter"))),
        Script::json(200, &two_choices(json!("stop"), Value::Null)),
        Script::json(200, r#"{"object":"chat.completion","choices":"unusual"}"#),
    ] {
        let provider = FaultyProvider::always(bad);
        let harness = Harness::new(&catalog(&[&provider], POLICY));
        for _ in 0..2 {
            harness.read(&seeded()).await;
        }
        assert_eq!(provider.requests().len(), 2);
    }
    for bad in [
        Script::stream(&[ROLE, HELLO]),
        Script::stream(&[ROLE, HELLO, "data: x\n\n", STOP, DONE]),
    ] {
        let provider = FaultyProvider::always(bad);
        let harness = Harness::new(&catalog(&[&provider], POLICY));
        for _ in 0..2 {
            harness.read(&seeded_stream()).await;
        }
        assert_eq!(provider.requests().len(), 2);
    }
}

#[tokio::test]
async fn a_kept_stream_comes_again_with_usage_only_where_it_is_asked_for() {
    let provider = FaultyProvider::always(Script::stream(&[ROLE, ": comment\n\n", HELLO, STOP, USAGE, DONE]));
    let harness = Harness::new(&catalog(&[&provider], POLICY));
    harness.read(&seeded_stream()).await;

    let plain = harness.read(&seeded_stream()).await;
    let mut body = seeded_stream();
    body["stream_options"] = json!({"include_usage": true});
    let with_usage = harness.read(&body).await;

    assert_eq!(plain.text, [ROLE, HELLO, STOP, DONE].concat());
    assert_eq!(with_usage.text, [ROLE, HELLO, STOP, USAGE, DONE].concat());
    assert_eq!(
        plain.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    assert_eq!(provider.requests().len(), 1);
}

#[tokio::test]
async fn a_kept_answer_is_replayed_as_a_stream() {
    let provider = provider();
    let harness = Harness::new(&catalog(&[&provider], POLICY));
    harness.read(&seeded()).await;

    let replay = harness.read(&seeded_stream()).await;

    assert_eq!(cache(&replay), Some("hit"));
    assert!(replay.text.contains(r#""content":"Hello""#), "{}", replay.text);
    assert!(replay.text.ends_with(DONE));
}

#[tokio::test]
async fn calls_at_the_same_time_ask_once() {
    let provider = FaultyProvider::start();
    let slow = completion(1_000, 0, 10);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", slow.len());
    let pause = Step::Pause(Duration::from_millis(200));
    provider.next(Script::of([
        Step::Raw(head.into_bytes()),
        pause,
        Step::Raw(slow.into_bytes()),
    ]));
    let harness = Harness::new(&catalog(&[&provider], POLICY));
    let body = seeded();

    let (one, two, three) = tokio::join!(harness.read(&body), harness.read(&body), harness.read(&body));

    let mut statuses = [cache(&one), cache(&two), cache(&three)];
    statuses.sort_unstable();
    assert_eq!(statuses, [Some("hit"), Some("hit"), Some("miss")]);
    assert_eq!(provider.requests().len(), 1);
}

#[tokio::test]
async fn a_first_caller_who_leaves_makes_room_for_the_next() {
    let provider = provider();
    provider.next(Script::of([Step::Hang]));
    let harness = Harness::new(&catalog(&[&provider], POLICY));
    let body = seeded();
    let leaving = tokio::time::timeout(Duration::from_millis(200), harness.read(&body));

    let (left, stayed) = tokio::join!(leaving, harness.read(&body));

    assert!(left.is_err());
    assert_eq!(cache(&stayed), Some("miss"));
    assert_eq!(provider.requests().len(), 2);
}

#[tokio::test]
async fn a_stream_that_is_left_half_way_is_not_kept() {
    let provider = FaultyProvider::always(Script::stream(&[ROLE, HELLO, STOP, DONE]));
    provider.next(Script::open_stream(&[ROLE]).then(Step::Hang));
    let harness = Harness::new(&catalog(&[&provider], POLICY));
    let mut stream = stream_of(harness.chat(&seeded_stream()).await.unwrap());
    piece(&mut stream).await;
    drop(stream);

    let next = harness.read(&seeded_stream()).await;

    assert_eq!(cache(&next), Some("miss"));
    assert_eq!(next.text, [ROLE, HELLO, STOP, DONE].concat());
}

#[tokio::test]
async fn another_catalog_does_not_give_the_answers_of_the_last() {
    let (one, other) = (provider(), provider());
    let harness = Harness::new(&catalog(&[&one], POLICY));
    harness.read(&seeded()).await;

    harness.gateway.reload(&catalog(&[&other, &one], POLICY)).unwrap();

    assert_eq!(cache(&harness.read(&seeded()).await), Some("miss"));
    assert_eq!(other.requests().len(), 1);
}

#[tokio::test]
async fn a_call_does_not_wait_long_for_the_answer_of_another() {
    let provider = provider();
    provider.next(Script::of([Step::Hang]));
    let timeouts = "timeouts = { total_seconds = 2 }";
    let harness = Harness::new(&catalog_of(&[provider.base_url()], timeouts, POLICY));
    let body = seeded();

    let (first, second) = tokio::join!(harness.read(&body), harness.read(&body));

    assert_eq!((first.status, second.status), (504, 200));
    let outcomes = harness.outcomes();
    let second = outcomes
        .iter()
        .find(|outcome| outcome.status == Status::Success)
        .unwrap();
    assert!(second.duration >= Duration::from_millis(500), "{second:?}");
    assert!(second.duration < Duration::from_millis(1_500), "{second:?}");
}

#[tokio::test]
async fn a_stream_does_not_wait_for_the_reader_of_another() {
    let provider = FaultyProvider::always(Script::stream(&[ROLE, HELLO, STOP, DONE]));
    provider.next(Script::open_stream(&[ROLE, HELLO]).then(Step::Hang));
    let harness = Harness::new(&catalog(&[&provider], POLICY));
    let _unread = harness.chat(&seeded_stream()).await.unwrap();

    let body = seeded_stream();
    let next = tokio::time::timeout(Duration::from_secs(5), harness.read(&body)).await;

    assert_eq!(cache(&next.unwrap()), Some("miss"));
}

#[tokio::test]
async fn calls_that_want_no_kept_answer_do_not_wait_for_each_other() {
    let provider = FaultyProvider::always(slow());
    let harness = Harness::new(&catalog(&[&provider], POLICY));
    let body = seeded();
    let call = || send(&harness, &body, |call| call.header("cache-control", b"max-age=0"));

    join_all([call(), call(), call(), call()]).await;

    assert!(spread(&provider) < SLOW, "{:?}", spread(&provider));
}

#[tokio::test]
async fn calls_that_waited_in_vain_do_not_wait_for_each_other() {
    let provider = FaultyProvider::always(slow());
    let settings = GatewaySettings {
        cache_bytes: 0,
        ..GatewaySettings::default()
    };
    let harness = Harness::with(&catalog(&[&provider], POLICY), settings);
    let body = seeded();

    let answers = join_all([(); 4].map(|()| harness.read(&body))).await;

    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(provider.requests().len(), 4, "nothing is kept");
    assert!(spread(&provider) < SLOW, "{:?}", spread(&provider));
}

#[tokio::test]
async fn a_deeply_nested_request_is_not_looked_up() {
    let provider = provider();
    let harness = Harness::new(&catalog(&[&provider], POLICY));
    let nested = |depth: usize| {
        let mut body = seeded();
        body["tools"] = (1..depth).fold(json!(1), |inner, _| json!([inner]));
        body
    };

    assert_eq!(cache(&harness.read(&nested(16)).await), Some("miss"));
    assert_eq!(cache(&harness.read(&nested(17)).await), Some("bypass"));
}

#[tokio::test]
async fn an_answer_belongs_to_the_address_and_the_beta_it_came_from() {
    let (one, other) = (provider(), provider());
    let harness = Harness::new(&catalog(&[&one], POLICY));
    harness.read(&seeded()).await;
    let body = seeded();
    let beta = |value: &'static [u8]| send(&harness, &body, |call| call.header("OpenAI-Beta", value));

    assert_eq!(cache(&beta(b"a=v1").await), Some("miss"));
    assert_eq!(cache(&beta(b"a=v2").await), Some("miss"));
    assert_eq!(cache(&beta(b"a=v1").await), Some("hit"));
    harness.gateway.reload(&catalog(&[&other], POLICY)).unwrap();
    assert_eq!(cache(&harness.read(&seeded()).await), Some("miss"));
    assert_eq!(other.requests().len(), 1);
}

#[tokio::test]
async fn embeddings_are_kept_although_nothing_in_them_ends() {
    let text = "[[providers]]\nname = \"p0\"\nkind = \"echo\"\n\
                [[models]]\nid = \"m\"\nkind = \"embeddings\"\ncache = {}\n\
                candidates = [{ provider = \"p0\", model = \"u\" }]\n";
    let harness = Harness::new(&Catalog::parse(text, |_| None).unwrap());
    let embed = async || {
        let body = r#"{"model":"m","input":"a b"}"#.into();
        read(harness.gateway.embeddings(body, harness.call()).await.unwrap()).await
    };

    let (first, second) = (embed().await, embed().await);

    assert_eq!((cache(&first), cache(&second)), (Some("miss"), Some("hit")));
    assert_eq!(first.text, second.text);
}
