//! What the gateway reads of an answer while the bytes pass: usage, finish reason, model, first output, errors.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::pricing::Tokens;

/// More tokens than this in one call are not believed.
const MAX_TOKENS: u64 = 1_000_000_000;
/// Choices whose end is waited for; `n` is at most 128.
const MAX_CHOICES: u32 = 128;
const DONE: &[u8] = b"[DONE]";
/// Reasons for which a choice is complete, and the same the next time.
const COMPLETE: [&str; 3] = ["length", "stop", "tool_calls"];

/// What one event of a stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The end.
    Done,
    /// Output, or anything else that belongs to the answer.
    Part,
    /// Usage and nothing else: for the gateway, and for a client that asked for it.
    UsageOnly,
    /// The provider gave up.
    Error(ProviderMessage),
    /// No JSON object.
    Garbage,
}

/// What a provider says about an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProviderMessage {
    pub(crate) message: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) param: Option<String>,
    pub(crate) code: Option<String>,
}

/// What is known of an answer so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    /// The last report: providers that report more than once report totals.
    pub(crate) tokens: Option<Tokens>,
    pub(crate) finish_reason: Option<&'static str>,
    pub(crate) model: Option<String>,
    pub(crate) id: Option<String>,
    /// Whether any output has come.
    pub(crate) has_output: bool,
    /// Events with output, about one a token.
    pub(crate) output_parts: u64,
    open_choices: u128,
    closed_choices: u128,
    /// Whether a choice ended for a reason that may not be there the next time.
    ended_otherwise: bool,
}

impl Reading {
    /// Takes the data of one event.
    pub(crate) fn event(&mut self, data: &[u8]) -> Seen {
        if data.trim_ascii().starts_with(DONE) {
            return Seen::Done;
        }
        let chunk = match Chunk::read(data) {
            Ok(chunk) => chunk,
            Err(Unreadable::Unusual) => return Seen::Part,
            Err(Unreadable::Garbage) => return Seen::Garbage,
        };
        if let Some(error) = chunk.error {
            return Seen::Error(error.0);
        }
        let reports_usage = chunk.usage.is_some();
        let is_empty = chunk.choices.as_ref().is_none_or(Vec::is_empty);
        self.take(chunk);
        if reports_usage && is_empty {
            Seen::UsageOnly
        } else {
            Seen::Part
        }
    }

    /// Takes an answer in one piece; `None` when it is no JSON object.
    pub(crate) fn whole(&mut self, body: &[u8]) -> Option<Result<(), ProviderMessage>> {
        let chunk = match Chunk::read(body) {
            Ok(chunk) => chunk,
            Err(Unreadable::Unusual) => return Some(Ok(())),
            Err(Unreadable::Garbage) => return None,
        };
        if let Some(error) = chunk.error {
            return Some(Err(error.0));
        }
        self.take(chunk);
        Some(Ok(()))
    }

    /// Whether every choice that began has ended.
    pub(crate) fn is_complete(&self) -> bool {
        self.closed_choices != 0 && self.open_choices & !self.closed_choices == 0
    }

    /// Whether every choice that began has ended, for a reason that holds the next time too.
    pub(crate) fn is_worth_keeping(&self) -> bool {
        self.is_complete() && !self.ended_otherwise
    }

    fn take(&mut self, chunk: Chunk<'_>) {
        if let Some(tokens) = chunk.usage.and_then(Usage::tokens) {
            self.tokens = Some(tokens);
        }
        if self.model.is_none() {
            self.model = chunk.model.map(|model| model.0.chars().take(256).collect());
        }
        if self.id.is_none() {
            self.id = chunk.id.map(|id| id.0.chars().take(256).collect());
        }
        let mut has_output = false;
        for (position, choice) in (0..).zip(chunk.choices.into_iter().flatten()) {
            let bit = 1_u128.checked_shl(choice.index.unwrap_or(position).min(MAX_CHOICES - 1));
            let bit = bit.unwrap_or_default();
            self.open_choices |= bit;
            if let Some(reason) = choice.finish_reason {
                self.closed_choices |= bit;
                self.ended_otherwise |= !COMPLETE.contains(&&*reason.0);
                self.finish_reason = Some(known_reason(&reason.0));
            }
            has_output |= choice.delta.is_some_and(|delta| delta.0);
        }
        self.has_output |= has_output;
        self.output_parts += u64::from(has_output);
    }
}

/// Labels and span attributes take well-known words only.
fn known_reason(reason: &str) -> &'static str {
    const KNOWN: [&str; 5] = ["stop", "length", "tool_calls", "content_filter", "function_call"];
    KNOWN
        .into_iter()
        .find(|known| *known == reason)
        .unwrap_or("other")
}

/// The common part of a completion, one of its chunks, and an answer with embeddings.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default, deserialize_with = "lenient")]
    id: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<ErrorValue>,
}

enum Unreadable {
    /// A JSON object with members of other types: the client may know what they are.
    Unusual,
    /// Not a JSON object.
    Garbage,
}

impl<'a> Chunk<'a> {
    fn read(text: &'a [u8]) -> Result<Self, Unreadable> {
        if !text.trim_ascii_start().starts_with(b"{") {
            return Err(Unreadable::Garbage);
        }
        serde_json::from_slice(text).map_err(|error| {
            // Reading stops at the first unexpected type; the rest must be JSON too.
            if error.is_data() && serde_json::from_slice::<IgnoredAny>(text).is_ok() {
                Unreadable::Unusual
            } else {
                Unreadable::Garbage
            }
        })
    }
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
    #[serde(default)]
    delta: Option<Delta>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

impl Usage {
    fn tokens(self) -> Option<Tokens> {
        let details = self.prompt_tokens_details;
        let tokens = Tokens {
            input: self.prompt_tokens?,
            cached: details.and_then(|details| details.cached_tokens).unwrap_or(0),
            output: self.completion_tokens.unwrap_or(0),
        };
        let largest = tokens.input.max(tokens.output).max(tokens.cached);
        (largest <= MAX_TOKENS).then_some(tokens)
    }
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn lenient<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Text<'a>>, D::Error> {
    Option::deserialize(deserializer)
}

/// Whether a delta brings output: any member but `role` that is neither null nor empty.
struct Delta(bool);

impl<'de> Deserialize<'de> for Delta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DeltaVisitor;
        impl<'de> Visitor<'de> for DeltaVisitor {
            type Value = Delta;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Delta, A::Error> {
                let mut has_output = false;
                while let Some(Text(key)) = map.next_key::<Text<'_>>()? {
                    if key == "role" {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        has_output |= map.next_value::<Filled>()?.0;
                    }
                }
                Ok(Delta(has_output))
            }
        }
        deserializer.deserialize_map(DeltaVisitor)
    }
}

/// Whether a value is neither null nor empty.
struct Filled(bool);

impl<'de> Deserialize<'de> for Filled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FilledVisitor;
        impl<'de> Visitor<'de> for FilledVisitor {
            type Value = Filled;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Filled, E> {
                Ok(Filled(false))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Filled, E> {
                Ok(Filled(true))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Filled, E> {
                Ok(Filled(true))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Filled, E> {
                Ok(Filled(true))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Filled, E> {
                Ok(Filled(true))
            }

            fn visit_str<E>(self, text: &str) -> Result<Filled, E> {
                Ok(Filled(!text.is_empty()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Filled, A::Error> {
                let mut filled = false;
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    filled = true;
                }
                Ok(Filled(filled))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Filled, A::Error> {
                let mut filled = false;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    filled = true;
                }
                Ok(Filled(filled))
            }
        }
        deserializer.deserialize_any(FilledVisitor)
    }
}

/// An error as an object with OpenAI's members, or as anything else.
struct ErrorValue(ProviderMessage);

impl<'de> Deserialize<'de> for ErrorValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let text = |name: &str| match value.get(name)? {
            serde_json::Value::String(text) => Some(text.clone()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        Ok(Self(ProviderMessage {
            message: text("message").or_else(|| value.as_str().map(str::to_owned)),
            kind: text("type"),
            param: text("param"),
            code: text("code"),
        }))
    }
}

#[cfg(test)]
mod tests {
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
        let (_, seen) = read(&[r#"{"error":null,"choices":[]}"#]);
        assert_eq!(seen, [Seen::Part]);
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
}
