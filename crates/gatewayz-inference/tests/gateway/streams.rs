//! Streams that go well: pass-through, usage, silence, connections.

use std::time::{Duration, Instant};

use gatewayz_inference::{Catalog, GatewaySettings, Status, UsageSource};
use gatewayz_testkit::provider::{FaultyProvider, Script, Step};
use serde_json::json;

use crate::harness::{
    DONE, HELLO, Harness, ROLE, STOP, USAGE, catalog, piece, stream_of, streamed, whole_stream,
};

#[tokio::test]
async fn events_pass_untouched_without_the_usage_nobody_asked_for() {
    let provider = FaultyProvider::always(whole_stream());
    let harness = Harness::over(&provider);

    let answer = harness.read(&streamed()).await;

    assert_eq!(answer.text, [ROLE, HELLO, STOP, DONE].concat());
    assert_eq!(
        answer.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    assert_eq!(answer.header("content-length"), None);
    let outcome = harness.outcome();
    assert_eq!(
        (outcome.status, outcome.finish_reason),
        (Status::Success, Some("stop"))
    );
    assert_eq!((outcome.tokens.input, outcome.tokens.output), (9, 2));
    assert!(outcome.time_to_first_token.is_some());
    let series = r#"model_inference_time_to_first_token_seconds_count{provider="p0",model="m"}"#;
    assert_eq!(harness.metric(series), Some(1.0));
    assert!(
        provider.requests()[0]
            .text()
            .contains(r#""stream_options":{"include_usage":true}"#)
    );
}

#[tokio::test]
async fn usage_that_was_asked_for_stays() {
    let harness = Harness::answering(whole_stream());
    let mut body = streamed();
    body["stream_options"] = json!({"include_usage": true});

    let answer = harness.read(&body).await;

    assert_eq!(answer.text, [ROLE, HELLO, STOP, USAGE, DONE].concat());
}

#[tokio::test]
async fn a_stream_split_anywhere_comes_out_the_same() {
    let emoji = HELLO.replace("Hello", "é😀 \\\"usage\\\":{");
    let events = [ROLE, &emoji, STOP, USAGE, DONE].concat();
    for size in [1, 2, 3, 7, 64] {
        let pieces: Vec<_> = events
            .as_bytes()
            .chunks(size)
            .map(|piece| Step::Chunk(piece.to_vec()))
            .collect();
        let script = pieces.into_iter().fold(Script::open_stream(&[]), Script::then);
        let harness = Harness::answering(script.then(Step::End));

        let answer = harness.read(&streamed()).await;

        assert_eq!(
            answer.text,
            [ROLE, &emoji, STOP, DONE].concat(),
            "pieces of {size}"
        );
        assert_eq!(harness.outcome().tokens.output, 2);
    }
}

#[tokio::test]
async fn a_line_of_300_kilobytes_passes() {
    let long = HELLO.replace("Hello", &"x".repeat(300_000));
    let harness = Harness::answering(Script::stream(&[ROLE, &long, STOP, DONE]));

    let answer = harness.read(&streamed()).await;

    assert_eq!(answer.text, [ROLE, &long, STOP, DONE].concat());
}

#[tokio::test]
async fn a_finished_stream_without_done_gets_it() {
    let harness = Harness::answering(Script::stream(&[ROLE, HELLO, STOP]));

    let answer = harness.read(&streamed()).await;

    assert_eq!(answer.text, [ROLE, HELLO, STOP, DONE].concat());
    assert_eq!(harness.outcome().status, Status::Success);
}

#[tokio::test]
async fn the_body_ends_right_after_done() {
    let hanging = Script::open_stream(&[HELLO, STOP, DONE]).then(Step::Hang);
    let harness = Harness::answering(hanging);
    let started = Instant::now();

    let answer = harness.read(&streamed()).await;

    assert!(answer.text.ends_with(DONE));
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn silence_is_filled_with_comments_when_asked_for() {
    let slow = Script::open_stream(&[HELLO]).then(Step::Pause(Duration::from_millis(500)));
    let slow = slow
        .then(Step::Chunk([STOP, DONE].concat().into()))
        .then(Step::End);
    let provider = FaultyProvider::always(slow);
    let read = async |keep_alive| {
        let settings = GatewaySettings {
            keep_alive,
            ..GatewaySettings::default()
        };
        Harness::with(&catalog(&[&provider], ""), settings)
            .read(&streamed())
            .await
            .text
    };

    let with = read(Some(Duration::from_millis(100))).await;
    let without = read(None).await;

    assert!(with.contains(": keep-alive\n\n"), "{with}");
    assert_eq!(with.replace(": keep-alive\n\n", ""), without);
}

#[tokio::test]
async fn missing_usage_is_guessed_apart_and_costs_nothing() {
    let harness = Harness::answering(Script::stream(&[ROLE, HELLO, HELLO, STOP, DONE]));

    harness.read(&streamed()).await;

    let outcome = harness.outcome();
    assert_eq!(
        (outcome.usage_source, outcome.tokens.output),
        (UsageSource::Estimate, 2)
    );
    assert_eq!(outcome.cost.picodollars(), 0);
    let tokens = |kind: &str| {
        harness.metric(&format!(
            "tokens_used_total{{provider=\"p0\",model=\"m\",token_type=\"{kind}\"}}"
        ))
    };
    assert_eq!(
        (tokens("output"), tokens("estimated_output")),
        (Some(0.0), Some(2.0))
    );
}

#[tokio::test]
async fn a_body_that_ends_a_little_after_done_leaves_its_connection_to_the_next_call() {
    let late_end = Script::open_stream(&[HELLO, STOP, DONE]);
    let late_end = late_end
        .then(Step::Pause(Duration::from_millis(100)))
        .then(Step::End);
    let provider = FaultyProvider::always(late_end);
    let harness = Harness::over(&provider);

    harness.read(&streamed()).await;
    let ended = tokio::task::spawn_blocking(move || {
        provider.wait_for("the end of the body", |seen| {
            let ended = (seen.completed, seen.abandoned.len());
            (ended != (0, 0)).then_some(ended)
        })
    });

    assert_eq!(ended.await.unwrap(), (1, 0), "completed, abandoned");
}

#[tokio::test]
async fn a_slow_reader_is_waited_for_and_holds_little() {
    let endless = Script::open_stream(&[]).then(Step::Forever(HELLO.repeat(100).into(), Duration::ZERO));
    let provider = FaultyProvider::always(endless);
    let harness = Harness::over(&provider);
    let mut stream = stream_of(harness.chat(&streamed()).await.unwrap());

    let mut largest = 0;
    for _ in 0..50 {
        largest = largest.max(piece(&mut stream).await.len());
    }

    assert!(largest <= 1024 * 1024, "{largest}");
}

#[tokio::test]
async fn the_echo_provider_streams_word_by_word() {
    let harness = Harness::new(&Catalog::echo());
    let body =
        json!({"model": "echo", "stream": true, "messages": [{"role": "user", "content": "one two three"}]});
    let mut stream = stream_of(harness.chat(&body).await.unwrap());

    let mut pieces = Vec::new();
    while let Some(Ok(piece)) = futures_util::StreamExt::next(&mut stream).await {
        pieces.push(piece);
    }

    assert_eq!(pieces.len(), 6, "role, three words, end, done: {pieces:?}");
    assert_eq!(harness.outcome().tokens.output, 3);
}

#[tokio::test]
async fn a_stream_outlives_its_gateway() {
    let late = Script::open_stream(&[HELLO]).then(Step::Pause(Duration::from_millis(100)));
    let late = late
        .then(Step::Chunk([STOP, DONE].concat().into()))
        .then(Step::End);
    let provider = FaultyProvider::always(late);
    let harness = Harness::over(&provider);
    let mut stream = stream_of(harness.chat(&streamed()).await.unwrap());
    piece(&mut stream).await;

    drop(harness);

    assert_eq!(piece(&mut stream).await, [STOP, DONE].concat());
}
