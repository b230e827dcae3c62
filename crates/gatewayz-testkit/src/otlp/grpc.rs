//! The gRPC side: `TraceService/Export` on tonic, its messages taken as bytes so that counting need not decode.

mod broken;
mod connection;

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Code, Request, Response, Status};

use super::answer::Verdict;
use super::received::Transport;
use super::store::Store;
use crate::serve::{MAX_BODY_BYTES, Reply};
use connection::{Connection, Ender};

pub(super) async fn serve(listener: TcpListener, store: Arc<Store>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("hand the listener to the runtime");
    let traffic = Arc::clone(&store.traffic);
    let connections = TcpListenerStream::new(listener)
        .map(|stream| stream.map(|stream| Connection::new(stream, traffic.open_connection())));
    tonic::transport::Server::builder()
        .add_service(TraceService(store))
        .serve_with_incoming(connections)
        .await
        .expect("serve OTLP over gRPC");
}

#[derive(Debug, Clone)]
struct TraceService(Arc<Store>);

impl NamedService for TraceService {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

impl Service<http::Request<Body>> for TraceService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let store = Arc::clone(&self.0);
        Box::pin(async move {
            if !request.uri().path().ends_with("/Export") {
                return Ok(Status::unimplemented("only Export is there").into_http());
            }
            let _open = store.traffic.open_request();
            let ender = request.extensions().get::<Ender>().cloned();
            let broken = Arc::new(OnceLock::new());
            let export = Export {
                store: Arc::clone(&store),
                broken: Arc::clone(&broken),
            };
            let response = Grpc::new(BytesCodec)
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(MAX_BODY_BYTES)
                .unary(export, request)
                .await;
            match broken.get() {
                None => Ok(response),
                Some(reply) => Ok(broken::response(reply, ender, &store.traffic).await),
            }
        })
    }
}

struct Export {
    store: Arc<Store>,
    /// What is to be answered instead of a gRPC status.
    broken: Arc<OnceLock<Reply>>,
}

impl UnaryService<Bytes> for Export {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let store = Arc::clone(&self.store);
        let broken = Arc::clone(&self.broken);
        Box::pin(async move {
            let (metadata, _, body) = request.into_parts();
            let headers = readable(&metadata.into_headers());
            match store.take(Transport::Grpc, headers, body).await {
                Verdict::Accepted { rejected, message } => {
                    Ok(Response::new(success(rejected, message).encode_to_vec().into()))
                }
                Verdict::Refused { status, retry_after } => Err(refusal(status, retry_after)),
                Verdict::Malformed => Err(Status::invalid_argument("the message is not an export request")),
                Verdict::Broken(reply) => {
                    // Each request has its own, so it is empty.
                    let _ = broken.set(reply);
                    Err(Status::unknown("scripted"))
                }
            }
        })
    }
}

/// The answer to an accepted request, the same over both transports.
pub(super) fn success(rejected: u32, message: String) -> ExportTraceServiceResponse {
    let partial_success = (rejected > 0 || !message.is_empty()).then(|| ExportTracePartialSuccess {
        rejected_spans: rejected.into(),
        error_message: message,
    });
    ExportTraceServiceResponse { partial_success }
}

fn readable(headers: &http::HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect()
}

fn refusal(code: u16, retry_after: Option<Duration>) -> Status {
    let code = Code::from_i32(code.into());
    match retry_after {
        None => Status::new(code, "scripted"),
        Some(delay) => Status::with_details(code, "scripted", retry_info(code, delay).into()),
    }
}

/// `google.rpc.Status` with one `google.rpc.RetryInfo` as its detail.
fn retry_info(code: Code, delay: Duration) -> Vec<u8> {
    let retry_info = RetryInfo {
        retry_delay: Some(ProtoDuration {
            seconds: i64::try_from(delay.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(delay.subsec_nanos()).unwrap_or(i32::MAX),
        }),
    };
    let detail = Any {
        type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
        value: retry_info.encode_to_vec(),
    };
    RpcStatus {
        code: code.into(),
        message: "scripted".to_owned(),
        details: vec![detail],
    }
    .encode_to_vec()
}

#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtoDuration>,
}

#[derive(Clone, PartialEq, Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Debug, Clone, Copy)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
