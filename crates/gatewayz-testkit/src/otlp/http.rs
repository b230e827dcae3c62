//! The HTTP side: `POST /v1/traces` with a protobuf body, gzip accepted.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::GzDecoder;
use prost::Message;

use super::answer::Verdict;
use super::grpc::success;
use super::received::Transport;
use super::store::Store;
use crate::serve::{Backend, MAX_BODY_BYTES, Reply, Request, Traffic, Whole};

impl Backend for Store {
    fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    async fn answer(&self, request: Request) -> Reply {
        if request.path() != "/v1/traces" {
            return plain(404);
        }
        if request.method != "POST" {
            return plain(405);
        }
        if request.header("content-type") != Some("application/x-protobuf") {
            return plain(415);
        }
        let body = match request.header("content-encoding") {
            None | Some("identity") => request.body,
            Some("gzip") => match gunzip(&request.body) {
                Some(body) => body,
                None => return plain(400),
            },
            Some(_) => return plain(415),
        };
        match self.take(Transport::Http, request.headers, body).await {
            Verdict::Accepted { rejected, message } => protobuf(success(rejected, message).encode_to_vec()),
            Verdict::Malformed => plain(400),
            Verdict::Refused {
                status,
                retry_after: None,
            } => plain(status),
            Verdict::Refused {
                status,
                retry_after: Some(after),
            } => {
                let seconds = after.as_secs().to_string();
                Reply::Whole(Whole::status(status).with_header("Retry-After", seconds))
            }
            Verdict::Broken(reply) => reply,
        }
    }
}

fn gunzip(body: &[u8]) -> Option<Bytes> {
    let mut plain = Vec::new();
    let limit = u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX);
    GzDecoder::new(body).take(limit).read_to_end(&mut plain).ok()?;
    Some(plain.into())
}

fn protobuf(body: Vec<u8>) -> Reply {
    let whole = Whole {
        body: body.into(),
        ..Whole::status(200)
    };
    Reply::Whole(whole.with_header("Content-Type", "application/x-protobuf"))
}

fn plain(status: u16) -> Reply {
    Reply::Whole(Whole::status(status))
}
