//! Reads a push as Loki does, independently of how it was written.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;
use prost::Message;

use crate::receiver::Received;

pub(crate) type Pairs = BTreeMap<String, String>;

/// One line with the labels of its stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub(crate) labels: Pairs,
    pub(crate) unix_nanos: u64,
    pub(crate) text: String,
    pub(crate) metadata: Pairs,
}

/// The lines in the order of the body.
pub(crate) fn lines(push: &Received) -> Vec<Line> {
    let content_type = push.header("content-type").unwrap();
    if content_type == "application/json" {
        return json(push);
    }
    assert_eq!(content_type, "application/x-protobuf");
    protobuf(push)
}

fn json(push: &Received) -> Vec<Line> {
    assert_eq!(push.header("content-encoding"), Some("gzip"));
    let mut body = Vec::new();
    GzDecoder::new(push.body.as_slice())
        .read_to_end(&mut body)
        .unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let pairs = |value: &serde_json::Value| -> Pairs { serde_json::from_value(value.clone()).unwrap() };
    let mut lines = Vec::new();
    for stream in body["streams"].as_array().unwrap() {
        for value in stream["values"].as_array().unwrap() {
            lines.push(Line {
                labels: pairs(&stream["stream"]),
                unix_nanos: value[0].as_str().unwrap().parse().unwrap(),
                text: value[1].as_str().unwrap().to_owned(),
                metadata: value.get(2).map(pairs).unwrap_or_default(),
            });
        }
    }
    lines
}

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
    #[prost(string, tag = "2")]
    line: String,
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

fn protobuf(push: &Received) -> Vec<Line> {
    assert_eq!(push.header("content-encoding"), None);
    let body = snap::raw::Decoder::new().decompress_vec(&push.body).unwrap();
    let request = PushRequest::decode(body.as_slice()).unwrap();
    let mut lines = Vec::new();
    for stream in request.streams {
        for entry in stream.entries {
            let time = entry.timestamp.unwrap();
            let pairs = entry.structured_metadata.into_iter();
            lines.push(Line {
                labels: labels(&stream.labels),
                unix_nanos: u64::try_from(time.seconds).unwrap() * 1_000_000_000
                    + u64::try_from(time.nanos).unwrap(),
                text: entry.line,
                metadata: pairs.map(|pair| (pair.name, pair.value)).collect(),
            });
        }
    }
    lines
}

/// `{name="value", ...}` with the escapes of a Go string that a label needs.
fn labels(text: &str) -> Pairs {
    let mut rest = text.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
    let mut pairs = Pairs::new();
    while let Some((name, quoted)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next().unwrap() {
                (end, '"') => break end,
                (_, '\\') => value.push(characters.next().unwrap().1),
                (_, plain) => value.push(plain),
            }
        };
        pairs.insert(name.to_owned(), value);
        rest = quoted[end + 1..].trim_start_matches(", ");
    }
    assert_eq!(rest, "");
    pairs
}
