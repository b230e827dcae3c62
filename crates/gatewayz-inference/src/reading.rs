//! What the gateway reads of an answer while the bytes pass: usage, finish reason, model, first output, errors.

mod chunk;
mod loose;
mod shape;

use serde_json::Value;

use crate::catalog::Operation;
use crate::pricing::Tokens;
use chunk::{Chunk, Unreadable};
use loose::{Text, Usage};
use shape::Shape;

/// Longest error that is read.
pub(crate) const MAX_ERROR_BYTES: usize = 64 * 1024;
/// Longest id and model that are kept, in characters.
const MAX_NAME_CHARS: usize = 256;
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

impl ProviderMessage {
    /// What the body of a refusal says, under `error` or, as some servers of models have it, at the top.
    pub(crate) fn of_refusal(body: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return Self::default();
        };
        Self::of(
            value
                .get("error")
                .filter(|error| is_told(error))
                .unwrap_or(&value),
        )
    }

    /// An error as an object with OpenAI's members, or as anything else.
    fn of(error: &Value) -> Self {
        let text = |name: &str| match error.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        Self {
            message: text("message")
                .or_else(|| text("detail"))
                .or_else(|| error.as_str().map(str::to_owned)),
            kind: text("type"),
            param: text("param"),
            code: text("code"),
        }
    }
}

/// Whether a member `error` tells of one: some servers always write it.
fn is_told(error: &Value) -> bool {
    match error {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::Array(_) => true,
    }
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
    shape: Shape,
}

impl Reading {
    /// Takes the data of one event.
    pub(crate) fn event(&mut self, data: &[u8]) -> Seen {
        if let Some(has_output) = self.shape.output_in(data) {
            self.output(has_output);
            return Seen::Part;
        }
        if data.trim_ascii().starts_with(DONE) {
            return Seen::Done;
        }
        let chunk = match Chunk::read(data) {
            Ok(chunk) => chunk,
            Err(Unreadable::Unusual) => return Seen::Part,
            Err(Unreadable::Garbage) => return Seen::Garbage,
        };
        if let Some(error) = chunk.error(data) {
            return Seen::Error(error);
        }
        self.shape.learn(data, &chunk);
        let reports_usage = chunk.usage.is_some();
        let is_empty = chunk.choices.as_ref().is_none_or(Vec::is_empty);
        self.take(chunk);
        if reports_usage && is_empty {
            Seen::UsageOnly
        } else {
            Seen::Part
        }
    }

    /// Takes an answer in one piece; `None` when it is no JSON object, or has nothing in it that was asked for.
    pub(crate) fn whole(&mut self, operation: Operation, body: &[u8]) -> Option<Result<(), ProviderMessage>> {
        let chunk = match Chunk::read(body) {
            Ok(chunk) => chunk,
            Err(Unreadable::Unusual) => return Some(Ok(())),
            Err(Unreadable::Garbage) => return None,
        };
        if let Some(error) = chunk.error(body) {
            return Some(Err(error));
        }
        if !chunk.answers(operation) {
            return None;
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
            self.model = chunk.model.as_ref().map(name);
        }
        if self.id.is_none() {
            self.id = chunk.id.as_ref().map(name);
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
            has_output |= choice.delta.is_some_and(|delta| delta.filled > 0);
        }
        self.output(has_output);
    }

    fn output(&mut self, has_output: bool) {
        self.has_output |= has_output;
        self.output_parts += u64::from(has_output);
    }
}

fn name(text: &Text<'_>) -> String {
    let end = text.0.char_indices().nth(MAX_NAME_CHARS);
    let end = end.map_or(text.0.len(), |(end, _)| end);
    text.0.get(..end).unwrap_or_default().to_owned()
}

/// Labels and span attributes take well-known words only.
fn known_reason(reason: &str) -> &'static str {
    const KNOWN: [&str; 5] = ["stop", "length", "tool_calls", "content_filter", "function_call"];
    KNOWN
        .into_iter()
        .find(|known| *known == reason)
        .unwrap_or("other")
}

#[cfg(test)]
mod tests;
