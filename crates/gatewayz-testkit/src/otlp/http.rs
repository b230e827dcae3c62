//! The HTTP side: `POST /v1/traces` with a protobuf body, gzip accepted.

use std::convert::Infallible;
use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use prost::Message;

use super::answer::Verdict;
use super::grpc::success;
use super::received::Transport;
use super::store::Store;

const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

pub(super) async fn serve(listener: TcpListener, store: Arc<Store>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("hand the listener to the runtime");
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let store = Arc::clone(&store);
                async move { Ok::<_, Infallible>(answer(&store, request).await) }
            });
            // A sender that goes away ends its connection with an error; what it sent is in the store.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(store: &Store, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() != "/v1/traces" {
        return plain(StatusCode::NOT_FOUND);
    }
    if request.method() != Method::POST {
        return plain(StatusCode::METHOD_NOT_ALLOWED);
    }
    let (parts, body) = request.into_parts();
    if parts
        .headers
        .get(CONTENT_TYPE)
        .is_none_or(|value| value != "application/x-protobuf")
    {
        return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let Ok(body) = Limited::new(body, MAX_BODY_BYTES).collect().await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let body = match parts
        .headers
        .get(CONTENT_ENCODING)
        .map(http::HeaderValue::as_bytes)
    {
        None | Some(b"identity") => body.to_bytes(),
        Some(b"gzip") => match gunzip(&body.to_bytes()) {
            Some(body) => body,
            None => return plain(StatusCode::BAD_REQUEST),
        },
        Some(_) => return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    };
    match store.take(Transport::Http, &parts.headers, body).await {
        Verdict::Accepted { rejected, message } => protobuf(success(rejected, message).encode_to_vec()),
        Verdict::Malformed => plain(StatusCode::BAD_REQUEST),
        Verdict::Refused { status, retry_after } => {
            let mut response = plain(StatusCode::from_u16(status).expect("a scripted HTTP status"));
            if let Some(after) = retry_after {
                response.headers_mut().insert(RETRY_AFTER, after.as_secs().into());
            }
            response
        }
    }
}

fn gunzip(body: &[u8]) -> Option<Bytes> {
    let mut plain = Vec::new();
    let limit = u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX);
    GzDecoder::new(body).take(limit).read_to_end(&mut plain).ok()?;
    Some(plain.into())
}

fn protobuf(body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    response.headers_mut().insert(
        CONTENT_TYPE,
        http::HeaderValue::from_static("application/x-protobuf"),
    );
    response
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
