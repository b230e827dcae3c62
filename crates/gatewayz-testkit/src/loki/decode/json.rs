//! `{"streams":[{"stream":{...},"values":[["<ns>","<line>",{...}]]}]}`.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::super::received::{Line, Pairs};
use super::{Refusal, Stream};

pub(super) fn streams(body: &[u8]) -> Result<Vec<Stream>, Refusal> {
    if body.is_empty() {
        return Err(Refusal::malformed("EOF"));
    }
    // Loki takes bytes that are not UTF-8 inside a string.
    let text = String::from_utf8_lossy(body);
    let body: Value = serde_json::from_str(&text).map_err(|error| malformed(&error.to_string()))?;
    let body = object(&body)?;
    let mut streams = Vec::new();
    for stream in array(body.get("streams"))? {
        let stream = object(stream)?;
        let labels = labels(stream.get("stream"))?;
        let mut lines = Vec::new();
        for value in array(stream.get("values"))? {
            lines.push(Arc::new(line(&labels, array(Some(value))?)?));
        }
        streams.push(Stream { labels, lines });
    }
    Ok(streams)
}

fn line(labels: &Pairs, value: &[Value]) -> Result<Line, Refusal> {
    let time = string(value.first())?;
    let unix_nanos = time
        .parse()
        .map_err(|_| malformed("a time that is not a decimal number"))?;
    let mut metadata = Pairs::new();
    if let Some(pairs) = value.get(2) {
        for (name, value) in object(pairs)? {
            metadata.insert(name.clone(), string(Some(value))?.to_owned());
        }
    }
    Ok(Line {
        labels: labels.clone(),
        unix_nanos,
        text: string(value.get(1))?.to_owned(),
        metadata,
    })
}

/// A value that is not a string is stored as its JSON text.
fn labels(stream: Option<&Value>) -> Result<Pairs, Refusal> {
    let Some(stream) = stream else {
        return Ok(Pairs::new());
    };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut labels: Pairs = object(stream)?
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect();
    labels.retain(|_, value| !value.is_empty());
    Ok(labels)
}

fn object(value: &Value) -> Result<&Map<String, Value>, Refusal> {
    value
        .as_object()
        .ok_or_else(|| malformed("readObjectStart: expect { or n"))
}

fn array(value: Option<&Value>) -> Result<&[Value], Refusal> {
    match value {
        None => Ok(&[]),
        Some(Value::Array(values)) => Ok(values),
        Some(_) => Err(malformed("Value is not an array")),
    }
}

fn string(value: Option<&Value>) -> Result<&str, Refusal> {
    value
        .and_then(Value::as_str)
        .ok_or_else(|| malformed("Value is string, but can't find closing '\"' symbol"))
}

fn malformed(message: &str) -> Refusal {
    Refusal::malformed(format!("loghttp.PushRequest.Streams: {message}"))
}
