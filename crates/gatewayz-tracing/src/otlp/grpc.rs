//! OTLP/gRPC: the trace service called with spans that are encoded already.

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use gatewayz_delivery::http::{
    CONNECT_TIMEOUT, Secrets, SinkRuntime, install_crypto_provider, root_cause, within,
};
use gatewayz_delivery::{Attempt, Failure};
use http::uri::PathAndQuery;
use secrecy::ExposeSecret;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::transport::{ClientTlsConfig, Endpoint};
use tonic::{Code, ConnectError, Request, Status};
use tonic_types::StatusExt;

use super::accepted::Answers;
use super::channel::{ExportChannel, Message};
use super::request::Parts;
use super::{BuildError, OtlpSettings, USER_AGENT};

const PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// Longest answer that is read, in bytes.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
/// How tonic says that an answer is longer, under a code that a receiver may use for something temporary.
const ANSWER_TOO_LONG: &str = "Error, decoded message length too large";

#[derive(Debug)]
pub(super) struct Exporter {
    runtime: SinkRuntime,
    client: tonic::client::Grpc<ExportChannel>,
    metadata: MetadataMap,
    gzip: bool,
    answers: Answers,
}

impl Exporter {
    pub(super) fn new(settings: &OtlpSettings) -> Result<Self, BuildError> {
        install_crypto_provider();
        let mut endpoint = Endpoint::from_shared(settings.endpoint.as_str().to_owned())
            .and_then(|endpoint| endpoint.user_agent(USER_AGENT))
            .map_err(BuildError::Endpoint)?
            .connect_timeout(CONNECT_TIMEOUT);
        if settings.endpoint.scheme() == "https" {
            let tls = ClientTlsConfig::new().with_native_roots();
            endpoint = endpoint.tls_config(tls).map_err(BuildError::Endpoint)?;
        }
        let runtime = SinkRuntime::new().map_err(BuildError::Runtime)?;
        let channel = {
            let _context = runtime.enter();
            ExportChannel(endpoint.connect_lazy())
        };
        let client = tonic::client::Grpc::new(channel).max_decoding_message_size(ANSWER_MAX_BYTES);
        let metadata = metadata(settings)?;
        Ok(Self {
            runtime,
            client,
            answers: Answers::new(Secrets::of(&metadata.clone().into_headers())),
            metadata,
            gzip: settings.gzip,
        })
    }

    pub(super) fn export(&mut self, body: Parts, deadline: Instant) -> Attempt {
        let message = if self.gzip {
            Message::compressed(&body)
        } else {
            Message::plain(body)
        };
        let call = call(&mut self.client, &self.metadata, message);
        match self.runtime.drive(within(deadline, call)) {
            Ok(Ok(answer)) => self.answers.accepted(&answer),
            Ok(Err(status)) => refused(&status, &self.answers),
            Err(failure) => Attempt::Retry { after: None, failure },
        }
    }
}

fn metadata(settings: &OtlpSettings) -> Result<MetadataMap, BuildError> {
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
    Ok(metadata)
}

async fn call(
    client: &mut tonic::client::Grpc<ExportChannel>,
    metadata: &MetadataMap,
    message: Message,
) -> Result<Bytes, Status> {
    let ready = client.ready().await;
    ready.map_err(|error| Status::from_error(Box::new(error)))?;
    let mut request = Request::new(());
    *request.metadata_mut() = metadata.clone();
    request.extensions_mut().insert(message);
    let path = PathAndQuery::from_static(PATH);
    Ok(client.unary(request, path, AnswerCodec).await?.into_inner())
}

/// The OTLP specification's table of retryable codes (section OTLP/gRPC response, Failures).
fn refused(status: &Status, answers: &Answers) -> Attempt {
    // Only what went wrong on this side has a source; the code is tonic's guess then.
    if let Some(error) = status.source() {
        return Attempt::Retry {
            after: None,
            failure: Failure::new(broken(error), &root_cause(error)),
        };
    }
    let asked = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let failure = answers.failure(code_name(status.code()), status.message());
    match status.code() {
        // The specification wants no other attempt: the receiver may have taken the spans.
        Code::OutOfRange if status.message().starts_with(ANSWER_TOO_LONG) => Attempt::Rejected(failure),
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => retry(failure, asked),
        Code::ResourceExhausted if asked.is_some() => retry(failure, asked),
        // grpc-go says this of a message above the receiver's limit; smaller ones may pass.
        Code::ResourceExhausted if status.message().contains("larger than max") => Attempt::TooLarge(failure),
        Code::Unauthenticated | Code::PermissionDenied => Attempt::Rejected(failure.unauthorized()),
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::Internal => Attempt::Rejected(failure),
    }
}

fn broken(error: &(dyn Error + 'static)) -> &'static str {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return "connect";
        }
        cause = error.source();
    }
    "transport"
}

fn retry(failure: Failure, after: Option<Duration>) -> Attempt {
    Attempt::Retry { after, failure }
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

/// Takes an answer's bytes as they are. The request's bytes are the channel's to send.
#[derive(Debug, Clone, Copy)]
struct AnswerCodec;

impl Codec for AnswerCodec {
    type Encode = ();
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

impl Encoder for AnswerCodec {
    type Item = ();
    type Error = Status;

    fn encode(&mut self, (): (), _: &mut EncodeBuf<'_>) -> Result<(), Status> {
        Ok(())
    }
}

impl Decoder for AnswerCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}
