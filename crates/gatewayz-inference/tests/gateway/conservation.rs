//! For any mix of calls the sums agree: calls, tokens, money.

use std::time::Duration;

use gatewayz_inference::{Status, UsageSource};
use gatewayz_testkit::provider::{FaultyProvider, Script, Step};
use serde_json::json;

use crate::harness::{
    DONE, HELLO, Harness, ROLE, STOP, USAGE, catalog_of, completion, piece, request, stream_of, streamed,
};

#[tokio::test]
async fn calls_tokens_and_credits_add_up_to_the_last_picodollar() {
    let provider = FaultyProvider::start();
    let timeouts = "timeouts = { total_seconds = 1.5, stream_total_seconds = 1.5 }";
    let harness = Harness::new(&catalog_of(
        &[provider.base_url()],
        timeouts,
        "cache = { ttl_seconds = 60 }\n",
    ));
    let mut reported = (0_u64, 0_u64, 0_u64);
    for index in 0..24_u64 {
        let (input, cached, output) = (1_000 + index * 7, index * 3, index);
        match index % 8 {
            0..=2 => {
                provider.next(Script::json(200, &completion(input, cached, output)));
                reported = (reported.0 + input, reported.1 + cached, reported.2 + output);
                harness.read(&request()).await;
            }
            3 => {
                provider.next(Script::stream(&[ROLE, HELLO, STOP, USAGE, DONE]));
                reported = (reported.0 + 9, reported.1, reported.2 + 2);
                harness.read(&streamed()).await;
            }
            4 => {
                provider.next(Script::stream(&[ROLE, HELLO]));
                harness.read(&streamed()).await;
            }
            5 => {
                provider.next(Script::json(400, "{}"));
                harness.read(&request()).await;
            }
            6 => {
                provider.next(Script::of([Step::Hang]));
                harness.read(&request()).await;
            }
            _ => {
                let slow = Script::open_stream(&[HELLO]).then(Step::Pause(Duration::from_secs(5)));
                provider.next(slow);
                let mut stream = stream_of(harness.chat(&streamed()).await.unwrap());
                piece(&mut stream).await;
            }
        }
    }
    // Kept and answered again: a call, and nothing used.
    let seeded = json!({"model": "m", "seed": 1, "messages": [{"role": "user", "content": "hi"}]});
    provider.next(Script::json(200, &completion(5, 5, 5)));
    reported = (reported.0 + 5, reported.1 + 5, reported.2 + 5);
    for _ in 0..3 {
        harness.read(&seeded).await;
    }

    let outcomes = harness.outcomes();
    assert_eq!(outcomes.len(), 27);
    let calls = |status: Status| {
        let counted = harness.metric(&format!(
            "model_inference_requests_total{{provider=\"p0\",model=\"m\",status=\"{}\"}}",
            status.as_str()
        ));
        let seen = outcomes.iter().filter(|outcome| outcome.status == status).count();
        assert_eq!(counted, Some(seen as f64), "{status:?}");
        seen
    };
    let statuses = Status::ALL.map(calls);
    assert_eq!(
        statuses,
        [15, 3, 3, 3, 3],
        "success, error, timeout, cancelled, truncated"
    );
    let duration = harness.metric(r#"model_inference_duration_seconds_count{provider="p0",model="m"}"#);
    assert_eq!(duration, Some(27.0));

    let tokens = |kind: &str| {
        harness.metric(&format!(
            "tokens_used_total{{provider=\"p0\",model=\"m\",token_type=\"{kind}\"}}"
        ))
    };
    assert_eq!(tokens("input"), Some(reported.0 as f64));
    assert_eq!(tokens("output"), Some(reported.2 as f64));
    let picodollars = (reported.0 - reported.1) * 150_000 + reported.1 * 75_000 + reported.2 * 600_000;
    let sum: u64 = outcomes.iter().map(|outcome| outcome.cost.picodollars()).sum();
    assert_eq!(sum, picodollars);
    let page = harness.page();
    let credits = page
        .lines()
        .find_map(|line| line.strip_prefix(r#"credits_used_total{provider="p0",model="m"} "#));
    let written = format!(
        "{}.{:012}",
        picodollars / 1_000_000_000_000,
        picodollars % 1_000_000_000_000
    );
    assert_eq!(credits.unwrap(), written.trim_end_matches('0'));
    let estimates = outcomes
        .iter()
        .filter(|outcome| outcome.usage_source == UsageSource::Estimate);
    assert_eq!(
        tokens("estimated_output"),
        Some(estimates.map(|outcome| outcome.tokens.output).sum::<u64>() as f64)
    );
}

#[tokio::test]
async fn no_series_comes_from_what_a_client_sends() {
    let provider = FaultyProvider::always(Script::json(200, &completion(1, 0, 1)));
    let harness = Harness::over(&provider);
    harness.read(&request()).await;
    let series = |page: &str| page.lines().filter(|line| !line.starts_with('#')).count();
    let before = series(&harness.page());

    for index in 0..200 {
        let mut body = request();
        body["model"] = json!(format!("m-{index}"));
        harness.read(&body).await;
        let answer = completion(1, 0, 1).replace("up-0-2026", &format!("made-up-{index}"));
        provider.next(Script::json(
            200,
            &answer.replace("\"stop\"", &format!("\"reason-{index}\"")),
        ));
        harness.read(&request()).await;
    }

    let page = harness.page();
    assert_eq!(series(&page), before);
    assert!(!page.contains("made-up") && !page.contains("reason-"));
    assert_eq!(harness.outcomes().last().unwrap().finish_reason, Some("other"));
}
