//! The channel under tonic: it sends a message's bytes where they lie, and its answers cannot make tonic panic.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::{Channel, Error};

use super::request::Parts;

const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// One gRPC message, its prefix included.
///
/// It comes to the channel beside tonic's own, empty message: tonic's encoder copies what it sends into a buffer that
/// it allocates for each call.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pieces: Vec<Bytes>,
    is_compressed: bool,
}

impl Message {
    pub(super) fn plain(parts: Parts) -> Self {
        Self::new(false, parts.len(), parts.pieces())
    }

    pub(super) fn compressed(parts: &Parts) -> Self {
        let bytes = Bytes::from(parts.compressed());
        Self::new(true, bytes.len(), [bytes])
    }

    /// The prefix is a byte for compression and the length (gRPC over HTTP/2, Length-Prefixed-Message).
    fn new(is_compressed: bool, length: usize, pieces: impl IntoIterator<Item = Bytes>) -> Self {
        // A batch has a megabyte or two.
        let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        let prefix = Bytes::copy_from_slice(&[u8::from(is_compressed), a, b, c, d]);
        Self {
            pieces: std::iter::once(prefix).chain(pieces).collect(),
            is_compressed,
        }
    }

    fn put_into(self, request: &mut http::Request<Body>) {
        if self.is_compressed {
            request
                .headers_mut()
                .insert(ENCODING, HeaderValue::from_static("gzip"));
        }
        *request.body_mut() = Body::new(Pieces(self.pieces.into_iter()));
    }
}

/// A body of these pieces.
struct Pieces(vec::IntoIter<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        Poll::Ready(self.0.next().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.len() == 0
    }
}

#[derive(Debug, Clone)]
pub(super) struct ExportChannel(pub(super) Channel);

impl Service<http::Request<Body>> for ExportChannel {
    type Response = http::Response<Body>;
    type Error = Error;
    type Future = BoxFuture<Self::Response, Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        if let Some(message) = request.extensions_mut().remove::<Message>() {
            message.put_into(&mut request);
        }
        let answer = self.0.call(request);
        Box::pin(async move {
            let mut answer = answer.await?;
            drop_broken_details(answer.headers_mut());
            Ok(answer.map(|body| {
                Body::new(body.map_frame(|mut frame| {
                    if let Some(trailers) = frame.trailers_mut() {
                        drop_broken_details(trailers);
                    }
                    frame
                }))
            }))
        })
    }
}

fn drop_broken_details(headers: &mut HeaderMap) {
    let Some(details) = headers.remove(DETAILS) else {
        return;
    };
    let alone = MetadataMap::from_headers(HeaderMap::from_iter([(DETAILS, details.clone())]));
    let decoded = alone.get_bin(DETAILS.as_str()).map(MetadataValue::to_bytes);
    if decoded.is_some_and(|bytes| bytes.is_ok()) {
        headers.insert(DETAILS, details);
    }
}
