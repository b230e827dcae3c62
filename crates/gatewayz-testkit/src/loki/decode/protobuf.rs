//! `logproto.PushRequest`, field numbers as in Loki's `push.proto`.

use std::sync::Arc;

use prost::Message;

use super::super::received::{Line, Pairs};
use super::{Refusal, Stream, labels};

const NANOS_PER_SECOND: i128 = 1_000_000_000;

#[derive(Message)]
struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<StreamAdapter>,
}

#[derive(Message)]
struct StreamAdapter {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<EntryAdapter>,
}

#[derive(Message)]
struct EntryAdapter {
    #[prost(message, optional, tag = "1")]
    timestamp: Option<Timestamp>,
    // Loki does not check that a line is UTF-8.
    #[prost(bytes = "vec", tag = "2")]
    line: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    structured_metadata: Vec<LabelPairAdapter>,
}

#[derive(Message)]
struct LabelPairAdapter {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

pub(super) fn streams(body: &[u8]) -> Result<Vec<Stream>, Refusal> {
    let request = PushRequest::decode(body).map_err(|error| Refusal::malformed(error.to_string()))?;
    let mut streams = Vec::new();
    for stream in request.streams {
        let labels = labels::parse(&stream.labels)?;
        let lines = stream.entries.into_iter().map(|entry| line(&labels, entry));
        streams.push(Stream {
            lines: lines.map(Arc::new).collect(),
            labels,
        });
    }
    Ok(streams)
}

/// How large these lines are in one message, as Loki's distributor hands them on.
pub(in super::super) fn encoded_len<'a>(lines: impl IntoIterator<Item = &'a Line>) -> usize {
    let fields = |name: &str, value: &str| field_len(field_len(name.len()) + field_len(value.len()));
    lines
        .into_iter()
        .map(|line| {
            let metadata: usize = line
                .metadata
                .iter()
                .map(|(name, value)| fields(name, value))
                .sum();
            // The timestamp: two tags, five bytes of seconds and five of nanoseconds.
            field_len(field_len(12) + field_len(line.text.len()) + metadata)
        })
        .sum()
}

fn line(labels: &Pairs, entry: EntryAdapter) -> Line {
    let time = entry.timestamp.unwrap_or_default();
    let unix_nanos = i128::from(time.seconds) * NANOS_PER_SECOND + i128::from(time.nanos);
    let metadata = entry.structured_metadata.into_iter();
    Line {
        labels: labels.clone(),
        unix_nanos: u64::try_from(unix_nanos.max(0)).unwrap_or(u64::MAX),
        text: String::from_utf8_lossy(&entry.line).into_owned(),
        metadata: metadata.map(|pair| (pair.name, pair.value)).collect(),
    }
}

fn field_len(content_len: usize) -> usize {
    prost::length_delimiter_len(content_len) + 1 + content_len
}
