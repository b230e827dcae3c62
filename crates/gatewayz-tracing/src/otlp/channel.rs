//! A channel whose answers cannot make tonic panic, as a status detail that is no base64 would.

use std::task::{Context, Poll};

use http::header::{HeaderMap, HeaderName};
use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::{Channel, Error};

const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

#[derive(Debug, Clone)]
pub(super) struct SaneChannel(pub(super) Channel);

impl Service<http::Request<Body>> for SaneChannel {
    type Response = http::Response<Body>;
    type Error = Error;
    type Future = BoxFuture<Self::Response, Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
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
