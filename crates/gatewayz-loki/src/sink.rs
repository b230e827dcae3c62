//! The sink: one push request for each batch, over a client of its own.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use gatewayz_delivery::http::{HttpClient, Secrets, untraced_client};
use gatewayz_delivery::{Attempt, Batch, Failure, Sink};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Request};
use secrecy::ExposeSecret;

use crate::answer::meaning;
use crate::request::{EncodeError, Encoder};
use crate::{BuildError, Credentials, LokiSettings};

const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Pushes batches of lines, driven by the delivery thread on a runtime of its own: no service runtime is needed
/// or waited for.
///
/// Redirects are not followed, no proxy is used, at most 64 KiB of an answer are read and none is decompressed.
pub struct LokiSink {
    encoder: Encoder,
    client: HttpClient,
    secrets: Secrets,
}

impl LokiSink {
    /// Prepares the sink. Connects only when there is something to push.
    ///
    /// # Errors
    /// When the URL, the credentials or the tenant cannot be used, or the system refuses a runtime.
    pub fn new(settings: &LokiSettings) -> Result<Self, BuildError> {
        let url = &settings.push_url;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(BuildError::PushUrl);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BuildError::CredentialsInUrl);
        }
        let encoder = Encoder::new(settings.wire, &settings.labels);
        let client = untraced_client(USER_AGENT).map_err(BuildError::Client)?;
        let request = request(&client, settings, &encoder)?;
        let mut secrets = Secrets::of(request.headers());
        if let Credentials::Basic { password, .. } = &settings.credentials {
            secrets.add(password.expose_secret());
        }
        let client = HttpClient::new(client, request).map_err(BuildError::Runtime)?;
        Ok(Self {
            encoder,
            client,
            secrets,
        })
    }
}

impl Sink for LokiSink {
    fn send(&mut self, batch: &Arc<Batch>, deadline: Instant) -> Attempt {
        let push = match self.encoder.encode(batch) {
            Ok(push) => push,
            Err(EncodeError::TooLarge) => {
                return Attempt::TooLarge(Failure::new("encode", "the push is more than Loki can decode"));
            }
            Err(EncodeError::Malformed) => return Attempt::Rejected(malformed()),
        };
        let attempt = match self.client.send(push.body, deadline) {
            Ok(answer) => meaning(&answer, &self.secrets),
            Err(failure) => Attempt::Retry { after: None, failure },
        };
        match attempt {
            Attempt::Delivered if push.malformed > 0 => Attempt::PartlyRejected {
                rejected: push.malformed,
                failure: malformed(),
            },
            attempt => attempt,
        }
    }
}

impl fmt::Debug for LokiSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LokiSink").finish_non_exhaustive()
    }
}

fn request(client: &Client, settings: &LokiSettings, encoder: &Encoder) -> Result<Request, BuildError> {
    let (content_type, content_encoding) = encoder.media();
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
    if let Some(encoding) = content_encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    if let Some(tenant) = &settings.tenant {
        let tenant = HeaderValue::from_str(tenant).map_err(|_| BuildError::Tenant)?;
        headers.insert(TENANT, tenant);
    }
    let request = client.post(settings.push_url.clone()).headers(headers);
    let request = match &settings.credentials {
        Credentials::None => request,
        Credentials::Basic { username, .. } if username.contains(':') => {
            return Err(BuildError::Credentials);
        }
        Credentials::Basic { username, password } => {
            request.basic_auth(username, Some(password.expose_secret()))
        }
        Credentials::Bearer(token) => request.bearer_auth(token.expose_secret()),
    };
    // Only a credential can be wrong by now: scheme, host and tenant are checked.
    request.build().map_err(|_| BuildError::Credentials)
}

fn malformed() -> Failure {
    Failure::new("encode", "the record was not written by gatewayz_loki::record")
}
