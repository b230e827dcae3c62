//! Streams that do not go well: cut short, failing, silent, endless, abandoned, ended by the gateway.

use std::time::{Duration, Instant};

use gatewayz_inference::{Catalog, Status, UsageSource};
use gatewayz_testkit::provider::{FaultyProvider, Script, Step};
use serde_json::json;

use crate::harness::{
    DONE, HELLO, Harness, ROLE, STOP, catalog, catalog_of, completion, piece, request, stream_of, streamed,
    whole_stream,
};

#[tokio::test]
async fn a_stream_cut_short_is_told() {
    for (ending, what) in [
        (Script::stream(&[ROLE, HELLO]), "clean end"),
        (
            Script::stream(&[ROLE, HELLO, "data: {\"id\":\"c"]),
            "half an event",
        ),
        (Script::open_stream(&[ROLE, HELLO]).then(Step::Close), "closed"),
        (
            Script::open_stream(&[ROLE, HELLO])
                .then(Step::Pause(Duration::from_millis(50)))
                .then(Step::Reset),
            "reset",
        ),
    ] {
        let provider = FaultyProvider::always(ending);
        let harness = Harness::over(&provider);

        let answer = harness.read(&streamed()).await;

        let error = answer
            .text
            .strip_prefix([ROLE, HELLO].concat().as_str())
            .unwrap_or_else(|| panic!("{what}: {}", answer.text));
        let error: serde_json::Value = serde_json::from_str(error.strip_prefix("data: ").unwrap()).unwrap();
        let expected = json!({"error": {"message": "The provider ended the stream before its answer was complete.",
            "type": "server_error", "param": null, "code": "upstream_stream_truncated"}});
        assert_eq!(error, expected, "{what}");
        let outcome = harness.outcome();
        assert_eq!(
            (outcome.status, outcome.attempts),
            (Status::Truncated, 1),
            "{what}"
        );
        assert_eq!(
            provider.requests().len(),
            1,
            "no second provider's text after bytes were sent"
        );
    }
}

#[tokio::test]
async fn a_stream_that_begins_with_a_failure_moves_on() {
    for failing in [
        Script::stream(&["data: {\"error\":{\"message\":\"overloaded\"}}\n\n"]),
        Script::stream(&[": wait\n\n", "data: {\"error\":\"gone\"}\n\n", DONE]),
        Script::stream(&[]),
        Script::stream(&[DONE]),
        Script::stream(&[": wait\n\n"]),
        Script::stream(&["data: <html>\n\n"]),
        Script::json(200, &completion(1, 0, 1)),
        Script::whole(502, &[("content-type", "text/html")], "<html>"),
    ] {
        let (bad, good) = (
            FaultyProvider::always(failing.clone()),
            FaultyProvider::always(whole_stream()),
        );
        let harness = Harness::new(&catalog(&[&bad, &good], ""));

        let answer = harness.read(&streamed()).await;

        assert_eq!(answer.text, [ROLE, HELLO, STOP, DONE].concat(), "{failing:?}");
        assert_eq!(&*harness.outcome().provider, "p1");
    }
}

#[tokio::test]
async fn an_error_in_the_middle_is_told_without_keys_and_ends_the_stream() {
    let error = "data: {\"error\":{\"message\":\"key sk-abcdefghijklmnop\",\"type\":\"server_error\"}}\n\n";
    let harness = Harness::answering(Script::stream(&[HELLO, error, STOP, DONE]));

    let answer = harness.read(&streamed()).await;

    assert!(
        answer.text.contains("\"code\":\"upstream_error\""),
        "{}",
        answer.text
    );
    assert!(answer.text.contains("\"message\":\"key ***\""), "{}", answer.text);
    assert!(!answer.text.contains("[DONE]"), "{}", answer.text);
    assert_eq!(harness.outcome().status, Status::Error);
}

#[tokio::test]
async fn an_error_at_the_very_end_is_told_without_the_empty_line_after_it() {
    let error = "data: {\"error\":{\"message\":\"context overflow\",\"code\":\"boom\"}}\n";
    let harness = Harness::answering(Script::stream(&[HELLO, error]));

    let answer = harness.read(&streamed()).await;

    assert!(
        answer.text.contains("\"code\":\"boom\"") && answer.text.contains("\"context overflow\""),
        "{}",
        answer.text
    );
    assert_eq!(harness.outcome().error, Some("error_inside"));
    // Before an answer it is a failed attempt like another.
    let harness = Harness::answering(Script::stream(&[error]));
    assert_eq!(harness.read(&streamed()).await.status, 502);
    assert_eq!(harness.outcome().error, Some("error_inside"));
}

#[tokio::test]
async fn what_a_provider_says_of_an_error_in_the_middle_is_kept_and_bounded() {
    let long = "é".repeat(10_000);
    let error = json!({"error": {"message": long, "type": "overloaded_error", "code": "overloaded"}});
    let event = format!("data: {error}\n\n");
    let harness = Harness::answering(Script::stream(&[HELLO, &event, DONE]));

    let answer = harness.read(&streamed()).await;

    let last = answer
        .text
        .strip_prefix(HELLO)
        .unwrap()
        .strip_prefix("data: ")
        .unwrap();
    let told: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(told["error"]["code"], "overloaded");
    assert_eq!(told["error"]["type"], "overloaded_error");
    assert_eq!(told["error"]["message"].as_str().unwrap().chars().count(), 4_096);
}

#[tokio::test]
async fn a_silent_provider_is_given_up_in_band() {
    let silent = Script::open_stream(&[HELLO]).then(Step::Hang);

    check_timed_out(silent, "timeouts = { idle_seconds = 0.3 }").await;
}

#[tokio::test]
async fn a_stream_ends_at_its_total_time() {
    let endless = Script::open_stream(&[]).then(Step::Forever(HELLO.into(), Duration::from_millis(20)));

    check_timed_out(endless, "timeouts = { stream_total_seconds = 0.5 }").await;
}

/// Checks that a stream of a provider with these time limits ends with an event that tells of one.
async fn check_timed_out(script: Script, timeouts: &str) {
    let provider = FaultyProvider::always(script);
    let harness = Harness::new(&catalog_of(&[provider.base_url()], timeouts, ""));

    let answer = harness.read(&streamed()).await;

    assert!(
        answer.text.contains("\"code\":\"upstream_timeout\""),
        "{}",
        answer.text
    );
    assert_eq!(harness.outcome().status, Status::Timeout);
}

#[tokio::test]
async fn a_stream_with_always_more_to_read_ends_at_its_total_time_too() {
    let total = Duration::from_millis(200);
    let text = "[[providers]]\nname = \"p0\"\nkind = \"echo\"\ntimeouts = { stream_total_seconds = 0.2 }\n\
                [[models]]\nid = \"m\"\ncandidates = [{ provider = \"p0\", model = \"u\" }]\n";
    let harness = Harness::new(&Catalog::parse(text, |_| None).unwrap());
    let mut body = streamed();
    body["messages"][0]["content"] = "one two three".into();
    let started = Instant::now();
    let mut stream = stream_of(harness.chat(&body).await.unwrap());
    piece(&mut stream).await;

    tokio::time::sleep_until((started + total).into()).await;
    let next = piece(&mut stream).await;

    let next = String::from_utf8_lossy(&next);
    assert!(next.contains("\"code\":\"upstream_timeout\""), "{next}");
    assert_eq!(harness.outcome().status, Status::Timeout);
}

#[tokio::test]
async fn garbage_for_ever_ends_the_call_in_bounded_memory() {
    let lines = Script::open_stream(&[]).then(Step::Forever(
        b"\x00\xff nonsense\n".repeat(1_000),
        Duration::ZERO,
    ));
    let line = Script::open_stream(&[]).then(Step::Forever(vec![b'x'; 64 * 1024], Duration::ZERO));
    let comments =
        Script::open_stream(&[]).then(Step::Forever(b": still here\n\n".repeat(100), Duration::ZERO));
    for endless in [lines, line, comments] {
        let harness = Harness::answering(endless);

        let answer = harness.read(&streamed()).await;

        answer.expect_error(502, "api_error", Some("upstream_error"));
    }
}

#[tokio::test]
async fn garbage_after_the_first_byte_ends_the_stream() {
    let line = Script::open_stream(&[HELLO]).then(Step::Forever(vec![b'x'; 64 * 1024], Duration::ZERO));
    let text =
        Script::open_stream(&[HELLO]).then(Step::Forever(b"data: nonsense\n\n".to_vec(), Duration::ZERO));
    for endless in [line, text] {
        let harness = Harness::answering(endless);

        let answer = harness.read(&streamed()).await;

        assert!(answer.text.starts_with(HELLO));
        assert!(
            answer.text.contains("\"code\":\"upstream_error\""),
            "{}",
            answer.text
        );
        assert!(answer.text.len() < 10_000, "{}", answer.text.len());
        assert_eq!(harness.outcome().status, Status::Error);
    }
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_provider_within_a_fifth_of_a_second() {
    let endless = Script::open_stream(&[HELLO]).then(Step::Forever(HELLO.into(), Duration::from_millis(20)));
    let provider = FaultyProvider::always(endless);
    let harness = Harness::over(&provider);
    let mut stream = stream_of(harness.chat(&streamed()).await.unwrap());
    piece(&mut stream).await;

    drop(stream);
    let left = Instant::now();
    // The runtime must run for the connection to close.
    let abandoned = tokio::task::spawn_blocking(move || {
        provider.wait_for("the call to be cancelled", |seen| seen.abandoned.first().copied())
    });
    let abandoned = abandoned.await.unwrap();

    assert!(abandoned.saturating_duration_since(left) < Duration::from_millis(200));
    let outcome = harness.outcome();
    assert_eq!(
        (outcome.status, outcome.error),
        (Status::Cancelled, Some("cancelled"))
    );
    assert_eq!(outcome.usage_source, UsageSource::Estimate);
    assert_eq!(outcome.cost.picodollars(), 0);
    let series = r#"model_inference_requests_total{provider="p0",model="m",status="cancelled"}"#;
    assert_eq!(harness.metric(series), Some(1.0));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_cancels_the_provider_too() {
    for body in [request(), streamed()] {
        let provider = FaultyProvider::always(Script::of([Step::Hang]));
        let harness = Harness::over(&provider);
        let waiting = tokio::time::timeout(Duration::from_millis(300), harness.chat(&body));

        assert!(waiting.await.is_err());
        let left = Instant::now();
        let abandoned = tokio::task::spawn_blocking(move || {
            provider.wait_for("the call to be cancelled", |seen| seen.abandoned.first().copied())
        });

        assert!(abandoned.await.unwrap().saturating_duration_since(left) < Duration::from_millis(200));
        assert_eq!(harness.outcome().status, Status::Cancelled);
        assert_eq!(harness.outcome().attempts, 1);
    }
}

#[tokio::test]
async fn streams_that_are_open_when_the_service_stops_are_told() {
    let silent = Script::open_stream(&[HELLO]).then(Step::Hang);
    let busy = Script::open_stream(&[HELLO]).then(Step::Forever(HELLO.into(), Duration::from_millis(5)));
    for script in [silent, busy] {
        let harness = Harness::answering(script);
        let mut stream = stream_of(harness.chat(&streamed()).await.unwrap());
        piece(&mut stream).await;
        let reading = tokio::spawn(async move {
            let mut last = Vec::new();
            while let Some(Ok(piece)) = futures_util::StreamExt::next(&mut stream).await {
                last = piece.to_vec();
            }
            (String::from_utf8(last).unwrap(), Instant::now())
        });
        // The stream waits for its provider by then.
        tokio::task::yield_now().await;

        let deadline = Instant::now() + Duration::from_secs(1);
        harness.gateway.close_calls_at(deadline);
        let ended = tokio::time::timeout(Duration::from_secs(5), reading).await;

        let (last, at) = ended.expect("the end of the stream").unwrap();
        assert!(
            last.ends_with("\n\n") && last.contains("\"code\":\"server_shutting_down\""),
            "{last}"
        );
        assert!(at < deadline, "{:?} late", at - deadline);
        assert!(
            deadline - at < Duration::from_millis(600),
            "{:?} early",
            deadline - at
        );
        let outcome = harness.outcome();
        assert_eq!(
            (outcome.status, outcome.error),
            (Status::Error, Some("server_shutting_down"))
        );
        assert_eq!(harness.metric(r#"provider_error_rate{provider="p0"}"#), Some(0.0));
    }
}

#[tokio::test]
async fn calls_without_an_answer_when_the_service_stops_are_told() {
    for body in [request(), streamed()] {
        let harness = Harness::answering(Script::of([Step::Hang]));
        let deadline = Instant::now() + Duration::from_secs(1);
        let stop = async {
            // The call waits for its provider by then.
            tokio::task::yield_now().await;
            harness.gateway.close_calls_at(deadline);
        };

        let both = async { tokio::join!(harness.read(&body), stop).0 };
        let answer = tokio::time::timeout(Duration::from_secs(5), both)
            .await
            .expect("the end of the call");
        let at = Instant::now();
        let later = harness.read(&body).await;

        for answer in [answer, later] {
            assert_eq!(answer.status, 503);
            assert!(
                answer.text.contains("\"code\":\"server_shutting_down\""),
                "{}",
                answer.text
            );
        }
        assert!(at < deadline, "{:?} late", at - deadline);
        for outcome in harness.outcomes() {
            assert_eq!(
                (outcome.status, outcome.error),
                (Status::Error, Some("server_shutting_down"))
            );
        }
        assert_eq!(harness.outcomes().len(), 2);
        assert_eq!(harness.metric(r#"provider_error_rate{provider="p0"}"#), Some(0.0));
    }
}
