//! A client that makes the same request with another body each time.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Request};

use super::answer::Answer;
use super::runtime::{CONNECT_TIMEOUT, SinkRuntime, root_cause, within};
use super::tls;
use crate::Failure;

/// How long a connection without a request is kept. Load balancers close an idle one after a minute and more; a request
/// into a closed one is lost.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// What clients have in common: HTTP/1.1, no redirects, no proxy, no decompression, no attempt and no span of its own.
///
/// The certificates that the system trusts are read once in the life of the process, for all clients.
pub fn client_builder(user_agent: &'static str) -> ClientBuilder {
    let builder = Client::builder()
        .user_agent(user_agent)
        .redirect(Policy::none())
        .no_proxy()
        .http1_only()
        .pool_idle_timeout(IDLE_TIMEOUT)
        .retry(reqwest::retry::never());
    match tls::client_tls() {
        Ok(tls) => builder.tls_backend_preconfigured(tls),
        // Then reqwest's own attempt says why.
        Err(_) => builder,
    }
}

/// A client for [`HttpClient::new`], by [`client_builder`].
///
/// # Errors
/// When TLS cannot be set up.
pub fn untraced_client(user_agent: &'static str) -> Result<Client, reqwest::Error> {
    client_builder(user_agent)
        .connect_timeout(CONNECT_TIMEOUT)
        .build()
}

/// Makes one prepared request at a time, over one connection as long as it lasts.
pub struct HttpClient {
    runtime: SinkRuntime,
    client: Client,
    /// Everything but the body.
    prepared: Request,
}

impl HttpClient {
    /// Takes over a `prepared` request without body. Connects only when there is something to send.
    ///
    /// # Errors
    /// When the system refuses a runtime.
    pub fn new(client: Client, prepared: Request) -> io::Result<Self> {
        Ok(Self {
            runtime: SinkRuntime::new()?,
            client,
            prepared,
        })
    }

    /// Makes the request with `body` and waits for the answer, blocking the calling thread.
    ///
    /// Not to be called inside a runtime.
    ///
    /// # Errors
    /// When no status came until `deadline`: `connect` when nobody was reached, `timeout`, or `transport`. Each
    /// is worth another attempt, though after the last two the destination may have taken the body.
    pub fn send(&self, body: Vec<u8>, deadline: Instant) -> Result<Answer, Failure> {
        let mut request = Request::new(self.prepared.method().clone(), self.prepared.url().clone());
        self.prepared.headers().clone_into(request.headers_mut());
        *request.body_mut() = Some(body.into());
        self.runtime.drive(async {
            match within(deadline, self.client.execute(request)).await? {
                Ok(response) => Ok(Answer::read(response, deadline.into()).await),
                Err(error) => Err(failure(error)),
            }
        })
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL and the headers may hold credentials.
        formatter.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

fn failure(error: reqwest::Error) -> Failure {
    let status = if error.is_connect() {
        "connect"
    } else {
        "transport"
    };
    // A URL's query may hold a token.
    Failure::new(status, &root_cause(&error.without_url()))
}
