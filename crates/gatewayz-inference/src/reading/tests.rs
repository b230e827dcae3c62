//! What each kind of event and answer is read as.

use super::*;

fn read(events: &[&str]) -> (Reading, Vec<Seen>) {
    let mut reading = Reading::default();
    let seen = events
        .iter()
        .map(|event| reading.event(event.as_bytes()))
        .collect();
    (reading, seen)
}

#[test]
fn a_usual_stream_is_understood() {
    let (reading, seen) = read(&[
        r#"{"id":"c1","model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#,
        r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"Hi \"usage\":{"},"finish_reason":null}],"usage":null}"#,
        r#"{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#,
        r#"{"id":"c1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,"prompt_tokens_details":{"cached_tokens":4}}}"#,
        "[DONE]",
    ]);

    assert_eq!(
        seen,
        [Seen::Part, Seen::Part, Seen::Part, Seen::UsageOnly, Seen::Done]
    );
    assert_eq!(
        reading.tokens,
        Some(Tokens {
            input: 9,
            cached: 4,
            output: 2
        })
    );
    assert_eq!((reading.finish_reason, reading.output_parts), (Some("stop"), 1));
    assert_eq!(
        (reading.id.as_deref(), reading.model.as_deref()),
        (Some("c1"), Some("m-1"))
    );
    assert!(reading.is_complete());
}

#[test]
fn usage_beside_choices_is_read_and_stays() {
    let (reading, seen) = read(&[
        r#"{"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":5}}"#,
    ]);

    assert_eq!(seen, [Seen::Part, Seen::Part]);
    assert_eq!(
        reading.tokens,
        Some(Tokens {
            input: 1,
            cached: 0,
            output: 5
        })
    );
}

#[test]
fn a_chunk_without_choices_or_usage_stays() {
    let (_, seen) = read(&[
        r#"{"choices":[],"prompt_filter_results":[{}],"usage":null}"#,
        "{}",
    ]);

    assert_eq!(seen, [Seen::Part, Seen::Part]);
}

#[test]
fn every_choice_must_end() {
    let (reading, _) = read(&[
        r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#,
        r#"{"choices":[{"index":1,"delta":{"content":"b"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    ]);
    assert!(!reading.is_complete());

    assert!(!Reading::default().is_complete());
}

#[test]
fn an_error_in_the_stream_is_seen() {
    for (event, message) in [
        (
            r#"{"error":{"message":"overloaded","type":"server_error","code":529}}"#,
            "overloaded",
        ),
        (r#"{"error":"gone"}"#, "gone"),
    ] {
        let (_, seen) = read(&[event]);
        let [Seen::Error(error)] = seen.as_slice() else {
            panic!("{seen:?}")
        };
        assert_eq!(error.message.as_deref(), Some(message));
    }
    for none in ["null", "false", "{}", r#""""#] {
        let (_, seen) = read(&[&format!(r#"{{"error":{none},"choices":[]}}"#)]);
        assert_eq!(seen, [Seen::Part], "{none}");
    }
}

#[test]
fn cached_tokens_are_found_in_the_details_and_beside_them() {
    for (usage, cached) in [
        (
            r#"{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":4}}"#,
            4,
        ),
        (r#"{"prompt_tokens":9,"cached_tokens":4}"#, 4),
        (
            r#"{"prompt_tokens":9,"cached_tokens":4,"prompt_tokens_details":{"audio_tokens":0}}"#,
            4,
        ),
        (
            r#"{"prompt_tokens":9,"prompt_tokens_details":[4],"cached_tokens":"4"}"#,
            0,
        ),
    ] {
        let (reading, seen) = read(&[&format!(r#"{{"choices":[],"usage":{usage}}}"#)]);
        assert_eq!(seen, [Seen::UsageOnly]);
        assert_eq!(
            reading.tokens.map(|tokens| tokens.cached),
            Some(cached),
            "{usage}"
        );
    }
}

#[test]
fn an_error_at_the_top_is_seen_where_nothing_is_answered() {
    let error =
        r#"{"object":"error","message":"no such LoRA","type":"NotFoundError","param":null,"code":404}"#;
    let told = ProviderMessage {
        message: Some("no such LoRA".into()),
        kind: Some("NotFoundError".into()),
        param: None,
        code: Some("404".into()),
    };

    assert_eq!(read(&[error]).1, [Seen::Error(told.clone())]);
    assert_eq!(
        Reading::default().whole(Operation::Chat, error.as_bytes()),
        Some(Err(told))
    );
    let answer = r#"{"object":"error","choices":[{"index":0,"delta":{"content":"x"}}]}"#;
    assert_eq!(read(&[answer]).1, [Seen::Part]);
}

#[test]
fn choices_are_read_as_far_as_there_can_be_any() {
    let ended = r#"{"finish_reason":"stop"},"#.repeat(128);
    let beyond = r#"{"index":"none"},{"finish_reason":"content_filter"}"#;

    let (reading, seen) = read(&[&format!(r#"{{"choices":[{ended}{beyond}]}}"#)]);

    assert_eq!(seen, [Seen::Part]);
    assert!(reading.is_worth_keeping());
    assert_eq!(
        read(&[r#"{"choices":null,"usage":{"prompt_tokens":1}}"#]).1,
        [Seen::UsageOnly]
    );
}

#[test]
fn an_error_that_is_too_long_is_seen_but_not_read() {
    let long = "x".repeat(MAX_ERROR_BYTES);
    let under = format!(r#"{{"error":{{"message":"{long}"}}}}"#);
    let at_the_top = format!(r#"{{"object":"error","message":"{long}"}}"#);

    let whole = |body: &str| Reading::default().whole(Operation::Chat, body.as_bytes());

    assert_eq!(whole(&under), Some(Err(ProviderMessage::default())));
    assert_eq!(read(&[&under]).1, [Seen::Error(ProviderMessage::default())]);
    assert_eq!(whole(&at_the_top), None);
}

#[test]
fn what_a_refusal_says_is_found_in_the_usual_forms() {
    for body in [
        r#"{"error":{"message":"no"}}"#,
        r#"{"error":"no"}"#,
        r#"{"object":"error","message":"no"}"#,
        r#"{"message":"no","error":null}"#,
        r#"{"detail":"no"}"#,
        r#""no""#,
    ] {
        let said = ProviderMessage::of_refusal(body.as_bytes());
        assert_eq!(said.message.as_deref(), Some("no"), "{body}");
    }
    for body in ["", "<html>no</html>", "[]", r#"{"detail":[{"msg":"no"}]}"#] {
        let said = ProviderMessage::of_refusal(body.as_bytes());
        assert_eq!(said, ProviderMessage::default(), "{body}");
    }
}

#[test]
fn output_is_told_from_empty_deltas() {
    for (delta, expected) in [
        (r#"{"role":"assistant","content":""}"#, false),
        (r#"{"content":null,"tool_calls":[]}"#, false),
        ("{}", false),
        (r#"{"content":"x"}"#, true),
        (r#"{"content":"\n"}"#, true),
        (r#"{"tool_calls":[{"index":0,"id":"c"}]}"#, true),
        (r#"{"reasoning_content":"hm"}"#, true),
    ] {
        let (reading, _) = read(&[&format!(r#"{{"choices":[{{"index":0,"delta":{delta}}}]}}"#)]);
        assert_eq!(reading.has_output, expected, "{delta}");
    }
}

#[test]
fn garbage_is_told_from_answers() {
    for event in ["", "hello", "[1]", "[]", "7", "{\"choices\":", "<html>"] {
        assert_eq!(read(&[event]).1, [Seen::Garbage], "{event}");
    }
}

#[test]
fn an_unusual_object_is_left_to_the_client() {
    assert_eq!(read(&[r#"{"choices":[{"index":"0"}],"id":7}"#]).1, [Seen::Part]);
    assert_eq!(read(&[r#"{"id":7,"choices":[}"#]).1, [Seen::Garbage]);
}

#[test]
fn more_tokens_than_there_can_be_are_not_believed() {
    let (reading, _) =
        read(&[r#"{"choices":[],"usage":{"prompt_tokens":18446744073709551615,"completion_tokens":1}}"#]);

    assert_eq!(reading.tokens, None);
}

#[test]
fn members_of_other_types_do_not_hide_the_rest() {
    let (reading, seen) = read(&[
        r#"{"id":5,"model":null,"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}"#,
        r#"{"id":5,"choices":[],"usage":{"prompt_tokens":7.0,"completion_tokens":2,"prompt_tokens_details":null}}"#,
    ]);

    assert_eq!(seen, [Seen::Part, Seen::UsageOnly]);
    assert!(reading.is_complete());
    assert_eq!(
        reading.tokens,
        Some(Tokens {
            input: 7,
            cached: 0,
            output: 2
        })
    );
}

#[test]
fn an_object_without_what_was_asked_for_is_no_answer() {
    for body in [
        "{}",
        r#"{"detail":"model is loading"}"#,
        r#"{"object":"list","data":[]}"#,
        r#"{"choices":[]}"#,
    ] {
        for operation in [Operation::Chat, Operation::Embeddings] {
            assert_eq!(
                Reading::default().whole(operation, body.as_bytes()),
                None,
                "{body}"
            );
        }
    }
    let embeddings = br#"{"data":[{"embedding":[0.5]}]}"#;
    assert_eq!(
        Reading::default().whole(Operation::Embeddings, embeddings),
        Some(Ok(()))
    );
}
