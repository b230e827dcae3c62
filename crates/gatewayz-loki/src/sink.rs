//! The sink: one push request for each batch, over a client of its own.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatewayz_delivery::{Attempt, Batch, Failure, Sink};
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Request};
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::Runtime;
use tokio::time::timeout_at;

use crate::answer;
use crate::request::{EncodeError, Encoder};
use crate::{BuildError, Credentials, LokiSettings};

const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Load balancers close an idle connection after a minute and more; a request into a closed one is lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Pushes batches of lines, driven by the delivery thread on a runtime of its own: no service runtime is needed
/// or waited for.
///
/// Redirects are not followed, no proxy is used, at most 64 KiB of an answer are read and none is decompressed.
pub struct LokiSink {
    runtime: Runtime,
    encoder: Encoder,
    client: Client,
    /// Every push but its body.
    request: Request,
    /// What must not be shown if an answer repeats it.
    secrets: Vec<SecretString>,
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
        // The process may have chosen a provider already; then that one stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(Policy::none())
            .no_proxy()
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build()
            .map_err(BuildError::Client)?;
        let request = request(&client, settings, &encoder)?;
        let secrets = secrets(&settings.credentials, request.headers());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(BuildError::Runtime)?;
        Ok(Self {
            runtime,
            encoder,
            client,
            request,
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
        // The copy fails only for a body that is a stream, and the prepared request has none.
        let Some(mut request) = self.request.try_clone() else {
            return Attempt::Rejected(Failure::new("encode", "the request cannot be repeated"));
        };
        *request.body_mut() = Some(push.body.into());
        let attempt = self
            .runtime
            .block_on(post(&self.client, request, deadline, &self.secrets));
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

async fn post(client: &Client, request: Request, deadline: Instant, secrets: &[SecretString]) -> Attempt {
    // The runtime has stood still since the last push; a connection closed meanwhile is noticed here.
    tokio::task::yield_now().await;
    let exchange = async { Ok(answer::read(client.execute(request).await?, secrets).await) };
    let exchanged: Result<Result<Attempt, reqwest::Error>, _> = timeout_at(deadline.into(), exchange).await;
    // The connection goes back to the pool, or away, before the runtime stands still.
    tokio::task::yield_now().await;
    let failure = match exchanged {
        Ok(Ok(attempt)) => return attempt,
        Ok(Err(error)) => {
            let status = if error.is_connect() {
                "connect"
            } else {
                "transport"
            };
            Failure::new(status, &root_cause(&error.without_url()))
        }
        Err(_) => Failure::new("timeout", "no answer within the time limit"),
    };
    Attempt::Retry { after: None, failure }
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

/// The secret as it was given, and as it is sent.
fn secrets(credentials: &Credentials, headers: &HeaderMap) -> Vec<SecretString> {
    let given = match credentials {
        Credentials::None => return Vec::new(),
        Credentials::Basic { password, .. } => password.clone(),
        Credentials::Bearer(token) => token.clone(),
    };
    let sent = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.split_once(' '))
        .map(|(_, sent)| SecretString::from(sent));
    [Some(given), sent]
        .into_iter()
        .flatten()
        .filter(|secret| !secret.expose_secret().is_empty())
        .collect()
}

fn malformed() -> Failure {
    Failure::new("encode", "the record was not written by gatewayz_loki::record")
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
