//! The Loki receiver, fed by a raw client.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
mod forms;
mod rules;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gatewayz_testkit::http::{self, Client};
use gatewayz_testkit::loki::{Line, Pairs, Receiver};
use prost::Message;

const TIMEOUT: Duration = Duration::from_secs(10);
const JSON: (&str, &str) = ("Content-Type", "application/json");
const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");
const HOUR: u64 = 3_600_000_000_000;

fn now() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since_epoch.as_nanos()).unwrap()
}

fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn line(app: &str, unix_nanos: u64, text: &str) -> Line {
    Line {
        labels: pairs(&[("app", app)]),
        unix_nanos,
        text: text.to_owned(),
        metadata: Pairs::new(),
    }
}

/// A stream for each line.
fn json(lines: &[Line]) -> Vec<u8> {
    let streams: Vec<_> = lines
        .iter()
        .map(|line| {
            serde_json::json!({
                "stream": line.labels,
                "values": [[line.unix_nanos.to_string(), line.text, line.metadata]],
            })
        })
        .collect();
    serde_json::json!({ "streams": streams }).to_string().into_bytes()
}

#[derive(Message)]
struct Push {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<Stream>,
}

#[derive(Message)]
struct Stream {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<Entry>,
}

#[derive(Message)]
struct Entry {
    #[prost(message, optional, tag = "1")]
    time: Option<Time>,
    #[prost(bytes = "vec", tag = "2")]
    line: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<Pair>,
}

#[derive(Message)]
struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Message)]
struct Pair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

fn entry(line: &Line) -> Entry {
    Entry {
        time: Some(Time {
            seconds: (line.unix_nanos / 1_000_000_000).try_into().unwrap(),
            nanos: (line.unix_nanos % 1_000_000_000).try_into().unwrap(),
        }),
        line: line.text.clone().into_bytes(),
        metadata: line
            .metadata
            .iter()
            .map(|(name, value)| Pair {
                name: name.clone(),
                value: value.clone(),
            })
            .collect(),
    }
}

/// Streams with their labels as they are on the wire.
fn snappy(streams: Vec<(&str, Vec<Entry>)>) -> Vec<u8> {
    let streams = streams.into_iter().map(|(labels, entries)| Stream {
        labels: labels.to_owned(),
        entries,
    });
    let push = Push {
        streams: streams.collect(),
    };
    snap::raw::Encoder::new()
        .compress_vec(&push.encode_to_vec())
        .unwrap()
}

/// One stream `{app="a"}` as protobuf.
fn protobuf(lines: &[Line]) -> Vec<u8> {
    snappy(vec![(r#"{app="a"}"#, lines.iter().map(entry).collect())])
}

fn post(receiver: &Receiver, headers: &[(&str, &str)], body: &[u8]) -> http::Answer {
    let mut client = Client::connect(receiver.address()).unwrap();
    client.post("/loki/api/v1/push", headers, body).unwrap()
}

fn push(receiver: &Receiver, lines: &[Line]) -> http::Answer {
    post(receiver, &[JSON], &json(lines))
}

/// The texts of what was kept.
fn kept(receiver: &Receiver) -> Vec<String> {
    receiver.lines().iter().map(|line| line.text.clone()).collect()
}
