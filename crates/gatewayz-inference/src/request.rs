//! What routing needs of a client's body, read in one bounded pass, and the few bytes that are changed in it.
//!
//! The body is never written anew: whatever is not named here goes to the provider as it came.

mod canonical;
mod head;

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

pub(crate) use canonical::canonical;
use head::{Head, StreamOptions};

use crate::catalog::Operation;

/// Deepest nesting that is read; serde_json's own limit.
const MAX_DEPTH: usize = 128;
const FORCED_OPTIONS: &str = r#"{"include_usage":true}"#;

/// What replaces a part of a body.
type Edit = (Range<usize>, &'static str);

/// Why a body cannot be routed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RequestError {
    /// For the client; holds nothing of the body.
    pub message: String,
    /// The member that is wrong; `None` for the body as a whole.
    pub param: Option<&'static str>,
}

/// A body that can be routed.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) body: Bytes,
    pub(crate) operation: Operation,
    /// As the client wrote it; not yet looked up.
    pub(crate) model: String,
    pub(crate) stream: bool,
    /// Whether the client wants the usage event of a stream.
    pub(crate) usage_asked: bool,
    /// Whether the client wants the same answer each time: temperature 0, or a seed.
    pub(crate) repeatable: bool,
    model_range: Range<usize>,
    /// What turns the usage event on; `None` when it is on, and where there is no stream.
    usage_edit: Option<Edit>,
}

impl RequestError {
    pub(crate) fn new(param: Option<&'static str>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            param,
        }
    }
}

impl Request {
    /// Reads `body`.
    pub(crate) fn parse(operation: Operation, body: Bytes) -> Result<Self, RequestError> {
        let text = str::from_utf8(&body)
            .map_err(|_| RequestError::new(None, "The request body is not valid UTF-8."))?;
        if is_deeper_than(text.as_bytes(), MAX_DEPTH) {
            let message = format!("The request body is nested more than {MAX_DEPTH} levels deep.");
            return Err(RequestError::new(None, message));
        }
        let head = Head::read(text)?;
        let (model_range, model) = model(text, &head)?;
        match operation {
            Operation::Chat => check_messages(head.messages)?,
            Operation::Embeddings => check_input(head.input)?,
        }
        let stream = operation == Operation::Chat && flag(head.stream, "stream")?;
        let (usage_asked, usage_edit) = usage(text, head.stream_options)?;
        let repeatable =
            head.temperature.is_some_and(is_zero) || head.seed.is_some_and(|seed| !is_null(seed));
        Ok(Self {
            operation,
            model,
            stream,
            usage_asked,
            repeatable,
            model_range,
            usage_edit: usage_edit.filter(|_| stream),
            body,
        })
    }

    /// The body for a provider: its name of the model, and usage asked for in streams. Shares the client's bytes
    /// when nothing has to change.
    pub(crate) fn for_provider(&self, model: &str) -> Bytes {
        let renamed = (model != self.model).then(|| {
            let quoted = serde_json::Value::from(model).to_string();
            (self.model_range.clone(), Cow::Owned(quoted))
        });
        let usage = self
            .usage_edit
            .clone()
            .map(|(range, text)| (range, Cow::Borrowed(text)));
        let mut edits: Vec<_> = renamed.into_iter().chain(usage).collect();
        if edits.is_empty() {
            return self.body.clone();
        }
        edits.sort_by_key(|(range, _)| range.start);

        let added: usize = edits.iter().map(|(_, text)| text.len()).sum();
        let mut spliced = Vec::with_capacity(self.body.len() + added);
        let mut copied = 0;
        for (range, text) in edits {
            spliced.extend_from_slice(self.body.get(copied..range.start).unwrap_or_default());
            spliced.extend_from_slice(text.as_bytes());
            copied = range.end;
        }
        spliced.extend_from_slice(self.body.get(copied..).unwrap_or_default());
        spliced.into()
    }
}

fn model(text: &str, head: &Head<'_>) -> Result<(Range<usize>, String), RequestError> {
    let Some(raw) = head.model else {
        return Err(RequestError::new(
            Some("model"),
            "You must provide a model parameter.",
        ));
    };
    let model: String = serde_json::from_str(raw.get())
        .map_err(|_| RequestError::new(Some("model"), "The model must be a string."))?;
    Ok((range(text, raw), model))
}

fn check_messages(messages: Option<&RawValue>) -> Result<(), RequestError> {
    let refuse = |message: &str| Err(RequestError::new(Some("messages"), message));
    match messages.map(RawValue::get) {
        None => refuse("Missing required parameter: 'messages'."),
        Some(raw) if !raw.starts_with('[') => refuse("The messages must be an array."),
        Some(raw) if is_empty_container(raw) => refuse("The messages must not be empty."),
        Some(_) => Ok(()),
    }
}

fn check_input(input: Option<&RawValue>) -> Result<(), RequestError> {
    let refuse = |message: &str| Err(RequestError::new(Some("input"), message));
    match input.map(RawValue::get) {
        None => refuse("Missing required parameter: 'input'."),
        Some(raw) if !raw.starts_with(['[', '"']) => refuse("The input must be a string or an array."),
        Some(raw) if raw == "\"\"" || is_empty_container(raw) => refuse("The input must not be empty."),
        Some(_) => Ok(()),
    }
}

fn flag(raw: Option<&RawValue>, param: &'static str) -> Result<bool, RequestError> {
    match raw.map(RawValue::get) {
        None | Some("null" | "false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(RequestError::new(
            Some(param),
            format!("The {param} parameter must be a boolean."),
        )),
    }
}

/// Whether the client asked for usage, and the edit that asks for it otherwise.
fn usage(text: &str, options: Option<&RawValue>) -> Result<(bool, Option<Edit>), RequestError> {
    let Some(options) = options else {
        // The top level has a model at least, so that a comma is right.
        let start = text.find('{').map_or(0, |brace| brace + 1);
        return Ok((
            false,
            Some((start..start, r#""stream_options":{"include_usage":true},"#)),
        ));
    };
    if is_null(options) {
        return Ok((false, Some((range(text, options), FORCED_OPTIONS))));
    }
    let inner = StreamOptions::read(options.get())?;
    if let Some(include_usage) = inner.include_usage {
        let asked = flag(Some(include_usage), "stream_options.include_usage")?;
        let edit = (!asked).then(|| (range(text, include_usage), "true"));
        return Ok((asked, edit));
    }
    let start = range(text, options).start + 1;
    let member = if is_empty_container(options.get()) {
        r#""include_usage":true"#
    } else {
        r#""include_usage":true,"#
    };
    Ok((false, Some((start..start, member))))
}

/// Where a borrowed value stands in the text it was read from.
fn range(text: &str, value: &RawValue) -> Range<usize> {
    let start = value.get().as_ptr().addr().saturating_sub(text.as_ptr().addr());
    start..start + value.get().len()
}

fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}

fn is_zero(raw: &RawValue) -> bool {
    raw.get().parse() == Ok(0.0_f64)
}

/// Of an array or an object, which has brackets and no white space around them.
fn is_empty_container(raw: &str) -> bool {
    raw.get(1..raw.len() - 1)
        .is_some_and(|inside| inside.trim().is_empty())
}

/// Whether brackets are nested deeper than this; strings do not count.
pub(crate) fn is_deeper_than(text: &[u8], limit: usize) -> bool {
    let mut depth = 0_usize;
    let mut rest = text;
    loop {
        let Some(next) = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'[' | b']' | b'{' | b'}'))
        else {
            return false;
        };
        let (symbol, after) = (rest.get(next).copied(), rest.get(next + 1..).unwrap_or_default());
        rest = after;
        match symbol {
            Some(b'"') => rest = after_string(after),
            Some(b'[' | b'{') => depth += 1,
            Some(_) => depth = depth.saturating_sub(1),
            None => return false,
        }
        if depth > limit {
            return true;
        }
    }
}

/// What follows the string whose opening quote is behind us.
fn after_string(mut text: &[u8]) -> &[u8] {
    while let Some(found) = memchr::memchr2(b'"', b'\\', text) {
        let skipped = if text.get(found) == Some(&b'"') { 1 } else { 2 };
        let is_end = skipped == 1;
        text = text.get(found + skipped..).unwrap_or_default();
        if is_end {
            return text;
        }
    }
    &[]
}

#[cfg(test)]
mod tests;
