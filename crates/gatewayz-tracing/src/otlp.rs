//! OTLP export over gRPC and HTTP/protobuf, as sinks for `gatewayz-delivery`.
//!
//! What is worth retrying follows the OTLP specification's tables exactly; timing, splitting and accounting are
//! the delivery's. Responses are read up to 64 KiB, redirects are not followed, and no answer is decompressed.

mod accepted;
mod channel;
mod grpc;
mod http;
mod request;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use gatewayz_delivery::{Attempt, Batch, Sink};
use secrecy::SecretString;
use url::Url;

const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// The OTLP transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `grpc`, port 4317.
    Grpc,
    /// `http/protobuf`, port 4318.
    HttpProtobuf,
}

impl Protocol {
    /// The value of `OTEL_EXPORTER_OTLP_PROTOCOL`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
        }
    }
}

/// Where and how spans are exported.
#[derive(Clone)]
pub struct OtlpSettings {
    /// The transport.
    pub protocol: Protocol,
    /// For gRPC the origin, for HTTP the whole URL with its path.
    pub endpoint: Url,
    /// Headers or metadata sent along, with their secret values.
    pub headers: Vec<(String, SecretString)>,
    /// Whether requests are compressed with gzip.
    pub gzip: bool,
    /// Attributes of the resource, `service.name` among them.
    pub resource: Vec<(String, String)>,
}

/// Why an exporter could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A header's name or value has characters that cannot be sent. Values are not shown.
    #[error("read OTLP header {name}")]
    Header {
        /// The header's name as configured.
        name: String,
    },
    /// The endpoint cannot be used as an origin.
    #[error("read OTLP endpoint")]
    Endpoint(#[source] tonic::transport::Error),
    /// The HTTP client could not be set up.
    #[error("set up the OTLP HTTP client")]
    Client(#[source] reqwest::Error),
    /// The exporter's own runtime could not be started.
    #[error("start the OTLP exporter's runtime")]
    Runtime(#[source] io::Error),
}

/// Sends batches of spans, driven by the delivery thread on a runtime of its own: no service runtime is needed
/// or waited for, so a one-worker service cannot deadlock.
#[derive(Debug)]
pub struct OtlpSink {
    frame: request::Frame,
    transport: Transport,
}

#[derive(Debug)]
enum Transport {
    Grpc(grpc::Exporter),
    Http(http::Exporter),
}

impl OtlpSink {
    /// Prepares the exporter. Connects only when there is something to send.
    ///
    /// # Errors
    /// When a header or the endpoint cannot be used, or the system refuses a runtime.
    pub fn new(settings: &OtlpSettings) -> Result<Self, BuildError> {
        let transport = match settings.protocol {
            Protocol::Grpc => Transport::Grpc(grpc::Exporter::new(settings)?),
            Protocol::HttpProtobuf => Transport::Http(http::Exporter::new(settings)?),
        };
        Ok(Self {
            frame: request::Frame::new(&settings.resource),
            transport,
        })
    }
}

impl Sink for OtlpSink {
    fn send(&mut self, batch: &Arc<Batch>, deadline: Instant) -> Attempt {
        let body = self.frame.request(batch);
        match &mut self.transport {
            Transport::Grpc(exporter) => exporter.export(body, deadline),
            Transport::Http(exporter) => exporter.export(&body, deadline),
        }
    }
}

impl fmt::Debug for OtlpSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A query may hold a token as well as the user part may.
        let mut endpoint = self.endpoint.clone();
        let _ = endpoint.set_username("");
        let _ = endpoint.set_password(None);
        endpoint.set_query(None);
        endpoint.set_fragment(None);
        formatter
            .debug_struct("OtlpSettings")
            .field("protocol", &self.protocol)
            .field("endpoint", &endpoint.as_str())
            .field("headers", &self.headers)
            .field("gzip", &self.gzip)
            .field("resource", &self.resource)
            .finish()
    }
}
