//! OTLP/gRPC: the trace service called with bytes that are encoded already.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use gatewayz_delivery::{Attempt, Failure};
use http::uri::PathAndQuery;
use secrecy::ExposeSecret;
use tokio::time::{Instant, timeout_at};
use tonic::codec::{BufferSettings, Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use super::request::{Parts, accepted};
use super::{BuildError, OtlpSettings};

const PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// Longest answer that is read, in bytes.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Exporter {
    client: tonic::client::Grpc<Channel>,
    metadata: MetadataMap,
}

impl Exporter {
    /// Must be called inside the runtime that will drive it.
    pub(super) fn new(settings: &OtlpSettings) -> Result<Self, BuildError> {
        let mut endpoint = Endpoint::from_shared(settings.endpoint.as_str().to_owned())
            .map_err(BuildError::Endpoint)?
            .connect_timeout(CONNECT_TIMEOUT);
        if settings.endpoint.scheme() == "https" {
            let tls = ClientTlsConfig::new().with_native_roots();
            endpoint = endpoint.tls_config(tls).map_err(BuildError::Endpoint)?;
        }
        let mut client =
            tonic::client::Grpc::new(endpoint.connect_lazy()).max_decoding_message_size(ANSWER_MAX_BYTES);
        if settings.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        let mut metadata = MetadataMap::new();
        for (name, value) in &settings.headers {
            let refused = || BuildError::Header { name: name.clone() };
            let key = name
                .to_ascii_lowercase()
                .parse::<AsciiMetadataKey>()
                .map_err(|_| refused())?;
            let mut value = value
                .expose_secret()
                .parse::<AsciiMetadataValue>()
                .map_err(|_| refused())?;
            value.set_sensitive(true);
            metadata.insert(key, value);
        }
        Ok(Self { client, metadata })
    }

    pub(super) async fn export(&mut self, body: Parts, deadline: Instant) -> Attempt {
        match timeout_at(deadline, self.call(body)).await {
            Ok(Ok(answer)) => accepted(&answer),
            Ok(Err(status)) => refused(&status),
            Err(_) => retry("timeout", "no answer within the time limit", None),
        }
    }

    async fn call(&mut self, body: Parts) -> Result<Bytes, Status> {
        self.client
            .ready()
            .await
            .map_err(|error| Status::unavailable(root_cause(&error)))?;
        let mut request = Request::new(body);
        *request.metadata_mut() = self.metadata.clone();
        let answer = self
            .client
            .unary(request, PathAndQuery::from_static(PATH), BytesCodec)
            .await?;
        Ok(answer.into_inner())
    }
}

/// The OTLP specification's table of retryable codes (section OTLP/gRPC response, Failures).
fn refused(status: &Status) -> Attempt {
    let code = code_name(status.code());
    let asked = status.get_details_retry_info().and_then(|info| info.retry_delay);
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => retry(code, status.message(), asked),
        Code::ResourceExhausted if asked.is_some() => retry(code, status.message(), asked),
        // grpc-go says this of a message above the receiver's limit; smaller ones may pass.
        Code::ResourceExhausted if status.message().contains("larger than max") => {
            Attempt::TooLarge(Failure::new(code, status.message()))
        }
        Code::Unauthenticated | Code::PermissionDenied => {
            Attempt::Rejected(Failure::new(code, status.message()).unauthorized())
        }
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::Internal => Attempt::Rejected(Failure::new(code, status.message())),
    }
}

fn retry(status: &'static str, message: &str, after: Option<Duration>) -> Attempt {
    Attempt::Retry {
        after,
        failure: Failure::new(status, message),
    }
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The innermost cause: "connection refused" helps an operator, "transport error" does not.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Passes message bytes through as they are.
#[derive(Debug, Clone, Copy)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Parts;
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
    type Item = Parts;
    type Error = Status;

    fn encode(&mut self, message: Parts, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(message.len());
        for part in message.iter() {
            out.put_slice(part);
        }
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}
