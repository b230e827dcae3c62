//! One request to one provider, and its answer piece by piece.

pub(crate) mod echo;
pub(crate) mod openai;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use reqwest::Client;
use reqwest::redirect::Policy;
use secrecy::SecretString;

use crate::catalog::Operation;
use crate::failure::Failure;
use crate::routing::Routing;

const USER_AGENT: &str = concat!("gatewayz/", env!("CARGO_PKG_VERSION"));
/// Load balancers close an idle connection after a minute and more; a request into a closed one is lost.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// Where requests go.
#[derive(Debug)]
pub(crate) enum Backend {
    Echo,
    OpenAi(Box<openai::OpenAi>),
}

/// A request as it is sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) operation: Operation,
    pub(crate) body: Bytes,
    pub(crate) stream: bool,
    /// Of the client and of the trace; nothing else of the client's is sent.
    pub(crate) headers: HeaderMap,
}

/// An answer whose head is there.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: IncomingBody,
}

/// An answer's body. Dropping it cancels the provider's work.
#[derive(Debug)]
pub(crate) enum IncomingBody {
    Echo(echo::Pieces),
    Http(Box<reqwest::Response>),
}

impl Backend {
    /// Sends a request and waits for the head of the answer, without a time limit but that of the connection.
    pub(crate) async fn send(
        &self,
        connections: &Connections,
        connect_timeout: Duration,
        outgoing: Outgoing,
    ) -> Result<Incoming, Failure> {
        match self {
            Self::Echo => Ok(echo::answer(&outgoing)),
            Self::OpenAi(provider) => {
                let client = connections
                    .client(connect_timeout)
                    .map_err(|_| Failure::Connect)?;
                provider.send(&client, outgoing).await
            }
        }
    }
}

impl Backend {
    /// Whether both lead to the same place, so that what is known of one holds for the other.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Echo, Self::Echo) => true,
            (Self::OpenAi(one), Self::OpenAi(other)) => one.is_same_place(other),
            (Self::Echo, Self::OpenAi(_)) | (Self::OpenAi(_), Self::Echo) => false,
        }
    }

    /// Our key there, to be kept out of what clients see.
    pub(crate) fn key(&self) -> Option<&SecretString> {
        match self {
            Self::Echo => None,
            Self::OpenAi(provider) => provider.key.as_ref(),
        }
    }
}

impl IncomingBody {
    /// A body with nothing in it.
    pub(crate) fn ended() -> Self {
        Self::Echo(echo::Pieces::Whole(None))
    }

    /// The next piece; `None` at the end. Nothing is lost when the future is dropped.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Echo(pieces) => Ok(pieces.next()),
            Self::Http(response) => response.chunk().await.map_err(|_| Failure::Transport),
        }
    }
}

/// Open connections to providers, kept for reuse.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    /// The time limit of a connection belongs to a client, so there is one client for each such limit.
    clients: Mutex<Vec<(Duration, Client)>>,
}

impl Connections {
    /// With clients for all providers there are, so that no call waits for one to be made.
    pub(crate) fn prepared(routing: &Routing) -> Result<Self, reqwest::Error> {
        let connections = Self::default();
        for provider in &routing.providers {
            if let Backend::OpenAi(_) = provider.backend {
                connections.client(provider.timeouts.connect)?;
            }
        }
        Ok(connections)
    }

    /// The client with this limit, made when it is first asked for.
    pub(crate) fn client(&self, connect_timeout: Duration) -> Result<Client, reqwest::Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(timeout, _)| *timeout == connect_timeout) {
            return Ok(client.clone());
        }
        // The process may have chosen a provider of cryptography already; then that one stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(Policy::none())
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(connect_timeout)
            .pool_idle_timeout(POOL_IDLE)
            .retry(reqwest::retry::never())
            .build()?;
        clients.push((connect_timeout, client.clone()));
        Ok(client)
    }
}
