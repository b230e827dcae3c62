//! The two calls that are measured.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use gatewayz_testkit::http::Client;

use super::super::limits::{
    CALL_JSON, CALL_JSON_INSTRUCTIONS, CALL_STREAM, CALL_STREAM_INSTRUCTIONS, Figure,
};
use super::proxy::MODEL;

const PATH: &str = "/v1/chat/completions";
const TYPE: (&str, &str) = ("Content-Type", "application/json");

/// How the answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// In one piece.
    Json,
    /// In 36 events.
    Stream,
}

impl Ask {
    pub(super) const ALL: [Self; 2] = [Self::Json, Self::Stream];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Stream => "stream",
        }
    }

    /// The figure of its CPU time.
    pub(super) fn cpu(self) -> &'static Figure {
        match self {
            Self::Json => &CALL_JSON,
            Self::Stream => &CALL_STREAM,
        }
    }

    /// The figure of its instructions.
    pub(super) fn instructions(self) -> &'static Figure {
        match self {
            Self::Json => &CALL_JSON_INSTRUCTIONS,
            Self::Stream => &CALL_STREAM_INSTRUCTIONS,
        }
    }

    /// The request as it goes over the wire.
    pub(super) fn request(self) -> Vec<u8> {
        let body = self.body();
        let (name, value) = TYPE;
        format!(
            "POST {PATH} HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\nAccept: */*\r\n{name}: {value}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    fn body(self) -> String {
        let stream = match self {
            Self::Json => "",
            Self::Stream => r#","stream":true,"stream_options":{"include_usage":true}"#,
        };
        format!(
            r#"{{"model":"{MODEL}","messages":[{{"role":"system","content":"You answer in one sentence."}},{{"role":"user","content":"Which three signals does a request leave, and what joins them?"}}],"temperature":0.7,"max_tokens":256{stream}}}"#
        )
    }
}

/// Makes each call once, and returns how many calls that were: who alters the answers of `provider` is not measured.
///
/// # Errors
/// When an answer is another than the provider's.
pub(super) fn check(address: SocketAddr, provider: SocketAddr) -> Result<u64> {
    for ask in Ask::ALL {
        let [own, expected] = [address, provider].map(|address| -> Result<_> {
            let mut client = Client::connect(address)?;
            Ok(client.post(PATH, &[TYPE], ask.body().as_bytes())?)
        });
        let (own, expected) = (
            own.context("ask the proxy")?,
            expected.context("ask the provider")?,
        );
        ensure!(own.status == 200, "ask the proxy: status {}", own.status);
        ensure!(
            own.body == expected.body,
            "ask the proxy: the {} answer is not the provider's",
            ask.name()
        );
    }
    Ok(Ask::ALL.len() as u64)
}
