//! An answer in one piece as the events of a stream, each value as it was written.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

pub(super) const DONE: &[u8] = b"data: [DONE]\n\n";

/// Longest answer as events: what stands beside the choices is in each of them.
const MAX_EVENTS_BYTES: usize = 8 * 1024 * 1024;

type Members<'a> = BTreeMap<String, &'a RawValue>;

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow)]
    message: Members<'a>,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    logprobs: Option<&'a RawValue>,
}

/// The events; `None` when the answer is no completion, or would be too long so.
pub(super) fn events(body: &[u8], usage_asked: bool) -> Option<Bytes> {
    let completion: Members<'_> = serde_json::from_slice(body).ok()?;
    let choices: Vec<Choice<'_>> = serde_json::from_str(completion.get("choices")?.get()).ok()?;
    let head = head(&completion);
    if (2 * choices.len() + 1).saturating_mul(head.len()) > MAX_EVENTS_BYTES {
        return None;
    }
    let usage = if usage_asked { r#","usage":null"# } else { "" };
    let mut out = String::with_capacity(body.len() * 2);
    let mut event = |choice: &str| {
        out.push_str(&format_event(&head, choice, usage));
    };
    for choice in &choices {
        let (index, delta) = (choice.index, delta(&choice.message)?);
        let logprobs = choice.logprobs.map_or("null", RawValue::get);
        event(&format!(
            r#"{{"index":{index},"delta":{delta},"logprobs":{logprobs},"finish_reason":null}}"#
        ));
    }
    for choice in &choices {
        let index = choice.index;
        let reason = choice.finish_reason.map_or("null", RawValue::get);
        event(&format!(
            r#"{{"index":{index},"delta":{{}},"logprobs":null,"finish_reason":{reason}}}"#
        ));
    }
    if let Some(usage) = completion.get("usage").filter(|_| usage_asked) {
        let usage = format!(r#","usage":{}"#, usage.get());
        out.push_str(&format_event(&head, "", &usage));
    }
    let mut events = out.into_bytes();
    events.extend_from_slice(DONE);
    Some(events.into())
}

/// An event is one line; in JSON an end of line is white space, or escaped.
fn format_event(head: &str, choice: &str, usage: &str) -> String {
    let event = format!("data: {{{head}\"choices\":[{choice}]{usage}}}");
    event.replace(['\r', '\n'], " ") + "\n\n"
}

/// The members that every chunk repeats.
fn head(completion: &Members<'_>) -> String {
    let mut head = r#""object":"chat.completion.chunk","#.to_owned();
    for (key, value) in completion {
        if !matches!(key.as_str(), "object" | "choices" | "usage") {
            let key = serde_json::Value::from(key.as_str());
            head.extend([&*key.to_string(), ":", value.get(), ","]);
        }
    }
    head
}

/// A message as one delta; the calls of tools are numbered, as in a stream.
fn delta(message: &Members<'_>) -> Option<String> {
    let mut members = Vec::with_capacity(message.len());
    for (key, value) in message {
        let value = if key == "tool_calls" {
            numbered(value.get())?
        } else {
            value.get().to_owned()
        };
        members.push(format!("{}:{value}", serde_json::Value::from(key.as_str())));
    }
    Some(format!("{{{}}}", members.join(",")))
}

fn numbered(calls: &str) -> Option<String> {
    let calls: Option<Vec<Members<'_>>> = serde_json::from_str(calls).ok()?;
    let Some(calls) = calls else {
        return Some("null".to_owned());
    };
    let numbered = calls.iter().enumerate().map(|(index, call)| {
        let mut members = vec![format!("\"index\":{index}")];
        for (key, value) in call.iter().filter(|(key, _)| *key != "index") {
            members.push(format!(
                "{}:{}",
                serde_json::Value::from(key.as_str()),
                value.get()
            ));
        }
        format!("{{{}}}", members.join(","))
    });
    let numbered: Vec<_> = numbered.collect();
    Some(format!("[{}]", numbered.join(",")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::reading::{Reading, Seen};
    use crate::sse::Decoder;

    fn replayed(body: &str, usage_asked: bool) -> (Vec<Value>, Reading) {
        let mut decoder = Decoder::default();
        decoder.feed(&events(body.as_bytes(), usage_asked).unwrap());
        let mut reading = Reading::default();
        let mut values = Vec::new();
        while let Some(event) = decoder.next_event().unwrap() {
            let data = event.data().unwrap();
            if reading.event(&data) == Seen::Done {
                return (values, reading);
            }
            values.push(serde_json::from_slice(&data).unwrap());
        }
        panic!("no end");
    }

    #[test]
    fn an_answer_that_would_be_much_longer_as_a_stream_is_not_replayed() {
        let choices = [r#"{"message":{}}"#; 1_000].join(",");
        let answer = |padding: usize| {
            let padding = "x".repeat(padding);
            format!(r#"{{"padding":"{padding}","choices":[{choices}]}}"#)
        };

        assert!(events(answer(10).as_bytes(), false).is_some());
        assert_eq!(events(answer(10_000).as_bytes(), false), None);
    }

    #[test]
    fn an_answer_becomes_a_stream_with_the_same_content() {
        let body = r#"{"id":"c", "created":12345678901234567890,"object":"chat.completion","model":"m",
            "choices":[{"index":0,"message":{"role":"assistant","content":"a\nb",
                "tool_calls":[ {"id":"t1","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"t2"}]},
                "finish_reason":"tool_calls"}],
            "usage":{"prompt_tokens":3,"completion_tokens":4}}"#;

        let (values, reading) = replayed(body, false);
        assert_eq!(values.len(), 2);
        assert!(
            events(body.as_bytes(), false)
                .unwrap()
                .windows(20)
                .any(|part| part == b"12345678901234567890")
        );
        assert_eq!(values[0]["object"], "chat.completion.chunk");
        let delta = &values[0]["choices"][0]["delta"];
        assert_eq!(
            (&delta["content"], &delta["role"]),
            (&json!("a\nb"), &json!("assistant"))
        );
        assert_eq!(delta["tool_calls"][1], json!({"index": 1, "id": "t2"}));
        assert!(reading.is_complete() && reading.tokens.is_none());

        let (values, reading) = replayed(body, true);
        assert_eq!(values[0].get("usage"), Some(&Value::Null));
        assert_eq!(values[2]["choices"], json!([]));
        assert_eq!(reading.tokens.unwrap().output, 4);
    }

    #[test]
    fn an_answer_over_many_lines_is_replayed_in_events_of_one() {
        let answer = json!({"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": "a",
            "tool_calls": [{}, {"index": 7, "id": "t"}]}, "finish_reason": "stop", "logprobs": {"content": [{"token": "a"}]}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4}});
        let body = serde_json::to_string_pretty(&answer)
            .unwrap()
            .replace('\n', "\r\n");

        let (values, reading) = replayed(&body, true);

        let calls = &values[0]["choices"][0]["delta"]["tool_calls"];
        assert_eq!(calls, &json!([{"index": 0}, {"index": 1, "id": "t"}]));
        assert_eq!(values[0]["choices"][0]["logprobs"]["content"][0]["token"], "a");
        assert_eq!((values.len(), reading.tokens.unwrap().output), (3, 4));
    }

    #[test]
    fn something_else_is_not_replayed() {
        assert_eq!(events(b"{}", false), None);
        assert_eq!(events(br#"{"choices":[{"text":"x"}]}"#, false), None);
    }
}
