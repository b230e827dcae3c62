//! Weights, retry budget and breaker, seen from outside.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use gatewayz_inference::{Catalog, Status};
use gatewayz_testkit::provider::{FaultyProvider, Script, Step};
use secrecy::SecretString;

use crate::harness::{Harness, KEY, catalog, catalog_of, completion, request, streamed};

fn good() -> FaultyProvider {
    FaultyProvider::always(Script::json(200, &completion(1, 0, 1)))
}

/// Model `m` over two providers of the same order with these weights.
fn weighted(providers: [&FaultyProvider; 2], weights: [u32; 2]) -> Catalog {
    let mut text = String::new();
    for (index, provider) in providers.iter().enumerate() {
        let base_url = provider.base_url();
        text +=
            &format!("[[providers]]\nname = \"p{index}\"\nkind = \"openai\"\nbase_url = \"{base_url}\"\n");
    }
    text += "[[models]]\nid = \"m\"\n";
    for (index, weight) in weights.iter().enumerate() {
        text += &format!(
            "[[models.candidates]]\nprovider = \"p{index}\"\nmodel = \"u\"\norder = 1\nweight = {weight}\n"
        );
    }
    Catalog::parse(&text, |_| Some(SecretString::from(KEY))).unwrap()
}

#[tokio::test]
async fn candidates_of_one_order_share_by_weight() {
    let (one, other) = (good(), good());
    let harness = Harness::new(&weighted([&one, &other], [3, 1]));

    for _ in 0..400 {
        harness.read(&request()).await;
    }

    // 300 expected; six standard deviations are 52.
    let share = one.requests().len();
    assert!((248..=352).contains(&share), "{share}");
    assert_eq!(share + other.requests().len(), 400);
}

#[tokio::test]
async fn a_candidate_of_the_same_order_takes_over() {
    let (bad, good) = (FaultyProvider::always(Script::json(500, "{}")), good());
    let harness = Harness::new(&weighted([&bad, &good], [1_000_000, 1]));

    let answer = harness.read(&request()).await;

    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn repeats_stay_within_the_budget() {
    let provider = FaultyProvider::always(Script::json(429, "{}"));
    let harness = Harness::over(&provider);

    for _ in 0..60 {
        harness.read(&request()).await;
    }

    // A fifth of the calls, and three a second: each call that may repeat waits for up to 0.25 and 0.5 s.
    let repeats = provider.requests().len() - 60;
    let seconds = harness
        .outcomes()
        .iter()
        .map(|outcome| outcome.duration.as_secs_f64())
        .sum::<f64>();
    assert!(
        repeats as f64 <= 12.0 + 3.0 * (seconds + 1.0),
        "{repeats} in {seconds} s"
    );
    assert!(repeats > 0);
}

#[tokio::test]
async fn a_provider_that_asks_for_a_long_wait_does_not_hold_up_the_other() {
    let limited = FaultyProvider::always(Script::whole(429, &[("retry-after", "60")], "{}"));
    let flaky = good();
    flaky.next(Script::json(500, "{}"));
    let harness = Harness::new(&catalog(&[&limited, &flaky], ""));

    let answer = harness.read(&request()).await;

    assert_eq!(answer.status, 200);
    assert_eq!((limited.requests().len(), flaky.requests().len()), (1, 2));
}

#[tokio::test]
async fn a_failing_model_leaves_the_others_of_its_provider_alone() {
    let provider = FaultyProvider::always(Script::json(500, "{}"));
    let base_url = provider.base_url();
    let text = format!(
        "[[providers]]\nname = \"p0\"\nkind = \"openai\"\nbase_url = \"{base_url}\"\n\
         [[models]]\nid = \"m\"\ncandidates = [{{ provider = \"p0\", model = \"bad\" }}]\n\
         [[models]]\nid = \"fine\"\ncandidates = [{{ provider = \"p0\", model = \"good\" }}]\n"
    );
    let harness = Harness::new(&Catalog::parse(&text, |_| None).unwrap());
    for _ in 0..3 {
        harness.read(&request()).await;
    }
    harness
        .read(&request())
        .await
        .expect_error(503, "api_error", Some("no_available_provider"));

    provider.otherwise(Script::json(200, &completion(1, 0, 1)));
    let mut fine = request();
    fine["model"] = "fine".into();

    assert_eq!(harness.read(&fine).await.status, 200);
    assert_eq!(
        harness.metric(r#"provider_breaker_open{provider="p0",model="fine"}"#),
        Some(0.0)
    );
    assert_eq!(
        harness.metric(r#"provider_breaker_open{provider="p0",model="m"}"#),
        Some(1.0)
    );
}

#[tokio::test]
async fn an_open_breaker_sends_calls_to_the_next_provider_at_once() {
    let (bad, good) = (FaultyProvider::always(Script::json(500, "{}")), good());
    let harness = Harness::new(&catalog(&[&bad, &good], ""));

    for _ in 0..10 {
        assert_eq!(harness.read(&request()).await.status, 200);
    }

    assert_eq!((bad.requests().len(), good.requests().len()), (5, 10));
    assert_eq!(harness.outcomes()[9].attempts, 1);
}

#[tokio::test]
async fn truncated_streams_open_the_breaker_too() {
    let provider = FaultyProvider::always(Script::open_stream(&[crate::harness::HELLO]).then(Step::Close));
    let harness = Harness::over(&provider);

    for _ in 0..12 {
        harness.read(&streamed()).await;
    }

    assert!(
        harness
            .outcomes()
            .iter()
            .any(|outcome| outcome.error == Some("no_available_provider"))
    );
}

#[tokio::test]
async fn calls_under_way_do_not_wait_for_each_other() {
    let provider = FaultyProvider::always(Script::of([Step::Hang]));
    let harness = Arc::new(Harness::over(&provider));
    let body = request();
    let mut calls: Vec<_> = (0..20).map(|_| Box::pin(harness.chat(&body))).collect();
    for call in &mut calls {
        assert!(call.as_mut().now_or_never().is_none());
    }

    drop(calls);

    let statuses: Vec<_> = harness.outcomes().iter().map(|outcome| outcome.status).collect();
    assert_eq!(statuses, vec![Status::Cancelled; 20]);
}

#[tokio::test]
async fn a_provider_that_hangs_is_seen_although_its_callers_leave_early() {
    let provider = FaultyProvider::always(Script::of([Step::Hang]));
    let timeouts = "timeouts = { first_byte_seconds = 0.1 }";
    let harness = Harness::new(&catalog_of(&[provider.base_url()], timeouts, ""));

    for body in [request(), streamed(), request(), streamed(), request()] {
        let leaving = tokio::time::timeout(Duration::from_millis(200), harness.chat(&body));
        assert!(leaving.await.is_err());
    }

    assert_eq!(harness.metric(r#"provider_error_rate{provider="p0"}"#), Some(1.0));
    assert_eq!(
        harness.metric(r#"provider_breaker_open{provider="p0",model="m"}"#),
        Some(1.0)
    );
}

#[tokio::test]
async fn a_call_that_leaves_soon_says_nothing_of_the_provider() {
    let provider = FaultyProvider::always(Script::of([Step::Hang]));
    let harness = Harness::over(&provider);

    for _ in 0..5 {
        let body = request();
        let leaving = tokio::time::timeout(Duration::from_millis(20), harness.chat(&body));
        assert!(leaving.await.is_err());
    }

    assert_eq!(harness.metric(r#"provider_error_rate{provider="p0"}"#), Some(0.0));
    assert!(harness.gateway.health()[0].open_breakers.is_empty());
}

#[tokio::test]
async fn an_answer_in_one_piece_is_asked_for_elsewhere_when_its_provider_hangs() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{".to_vec();
    for hanging in [
        Script::of([Step::Hang]),
        Script::of([Step::Raw(head.clone()), Step::Hang]),
        Script::of([
            Step::Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()),
            Step::Forever(b" ".to_vec(), Duration::from_millis(1)),
        ]),
    ] {
        let (hanging, good) = (FaultyProvider::always(hanging), good());
        let urls = [hanging.base_url(), good.base_url()];
        let harness = Harness::new(&catalog_of(&urls, "timeouts = { total_seconds = 2 }", ""));

        let answer = harness.read(&request()).await;

        assert_eq!(answer.status, 200, "{}", answer.text);
        let outcome = harness.outcome();
        assert_eq!((&*outcome.provider, outcome.attempts), ("p1", 2));
        assert!(outcome.duration >= Duration::from_secs(1), "{outcome:?}");
    }
}

#[tokio::test]
async fn refusals_and_limits_count_neither_for_a_provider_nor_against_it() {
    let provider = FaultyProvider::start();
    let harness = Harness::over(&provider);
    // Five failures in a row open the breaker, whatever comes in between.
    let statuses = [500, 400, 422, 429, 500, 404, 413, 500, 400, 500, 409, 500];
    for status in statuses {
        provider.next(Script::json(status, "{}"));
    }

    // A repeat within a call takes the next one.
    while provider.requests().len() < statuses.len() - 1 {
        assert!(harness.gateway.health()[0].open_breakers.is_empty());
        harness.read(&request()).await;
    }
    harness.read(&request()).await;

    assert_eq!(provider.requests().len(), statuses.len());
    assert_eq!(harness.metric(r#"provider_error_rate{provider="p0"}"#), Some(1.0));
    assert_eq!(harness.gateway.health()[0].open_breakers.len(), 1);
}

#[tokio::test]
async fn a_candidate_without_time_left_is_not_tried() {
    let (hanging, short) = (FaultyProvider::always(Script::of([Step::Hang])), good());
    let text = format!(
        "[[providers]]\nname = \"p0\"\nkind = \"openai\"\nbase_url = \"{}\"\ntimeouts = {{ total_seconds = 1 }}\n\
         [[providers]]\nname = \"p1\"\nkind = \"openai\"\nbase_url = \"{}\"\ntimeouts = {{ total_seconds = 0.3 }}\n\
         [[models]]\nid = \"m\"\n\
         candidates = [{{ provider = \"p0\", model = \"u\" }}, {{ provider = \"p1\", model = \"u\" }}]\n",
        hanging.base_url(),
        short.base_url()
    );
    let harness = Harness::new(&Catalog::parse(&text, |_| None).unwrap());

    let answer = harness.read(&request()).await;

    answer.expect_error(504, "timeout_error", Some("upstream_timeout"));
    assert_eq!(harness.outcome().attempts, 1);
    assert_eq!(harness.metric(r#"provider_error_rate{provider="p1"}"#), Some(0.0));
}
