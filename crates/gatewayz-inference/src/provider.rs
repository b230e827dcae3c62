//! One request to one provider, and its answer piece by piece.

mod client;
pub(crate) mod echo;
pub(crate) mod openai;

use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{Either, ready};
use gatewayz_delivery::http::TlsError;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use secrecy::SecretString;

use crate::catalog::Operation;
use crate::failure::Failure;
use crate::routing::Routing;
use client::{Client, client};

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
    Http(hyper::body::Incoming),
}

impl Backend {
    /// Sends a request and waits for the head of the answer, without a time limit but that of the connection.
    pub(crate) fn send(
        &self,
        connections: &Connections,
        connect_timeout: Duration,
        outgoing: Outgoing,
    ) -> impl Future<Output = Result<Incoming, Failure>> + use<> {
        // Made before the future: an async function would hold the request while it waits for the answer.
        match self {
            Self::Echo => Either::Left(ready(Ok(echo::answer(&outgoing)))),
            Self::OpenAi(provider) => match connections.client(connect_timeout) {
                Some(client) => Either::Right(provider.send(&client, outgoing).map(openai::received)),
                None => Either::Left(ready(Err(Failure::Connect))),
            },
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

    /// Where requests go; empty for what is built in.
    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Echo => "",
            Self::OpenAi(provider) => provider.url(),
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
            Self::Http(body) => {
                while let Some(frame) = body.frame().await {
                    // What is no data is a trailer, of which nothing is used.
                    if let Ok(chunk) = frame.map_err(|_| Failure::Transport)?.into_data() {
                        return Ok(Some(chunk));
                    }
                }
                Ok(None)
            }
        }
    }
}

/// Open connections to providers, kept for reuse.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    /// The time limit of a connection belongs to a client, so there is one client for each such limit.
    clients: ArcSwap<Vec<(Duration, Client)>>,
}

impl Connections {
    /// With clients for all providers there are, so that no call waits for one to be made.
    pub(crate) fn prepared(routing: &Routing) -> Result<Self, TlsError> {
        let connections = Self::default();
        connections.prepare(&[routing])?;
        Ok(connections)
    }

    /// Makes the clients these need, keeps those it has, and drops the others.
    pub(crate) fn prepare(&self, routings: &[&Routing]) -> Result<(), TlsError> {
        let before = self.clients.load();
        let mut clients: Vec<(Duration, Client)> = Vec::new();
        for provider in routings.iter().flat_map(|routing| &routing.providers) {
            let limit = provider.timeouts.connect;
            let is_known = clients.iter().any(|(known, _)| *known == limit);
            if matches!(provider.backend, Backend::Echo) || is_known {
                continue;
            }
            let client = match before.iter().find(|(known, _)| *known == limit) {
                Some((_, client)) => client.clone(),
                None => client(limit)?,
            };
            clients.push((limit, client));
        }
        self.clients.store(clients.into());
        Ok(())
    }

    /// The client with this limit. A call older than two catalogs may get one with another limit.
    fn client(&self, connect_timeout: Duration) -> Option<Client> {
        let clients = self.clients.load();
        let fitting = clients.iter().find(|(limit, _)| *limit == connect_timeout);
        fitting
            .or_else(|| clients.first())
            .map(|(_, client)| client.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::testing::routing_to;

    #[test]
    fn clients_of_catalogs_that_are_gone_are_dropped() {
        let to = |seconds: i32| routing_to("http://localhost/v1", seconds.into());
        let catalogs: Vec<_> = (1..=5).map(to).collect();
        let connections = Connections::prepared(&catalogs[0]).unwrap();

        for pair in catalogs.windows(2) {
            connections.prepare(&[&pair[1], &pair[0]]).unwrap();
        }

        let limits: Vec<_> = connections
            .clients
            .load()
            .iter()
            .map(|(limit, _)| *limit)
            .collect();
        assert_eq!(limits, [Duration::from_secs(5), Duration::from_secs(4)]);
        assert!(
            connections.client(Duration::from_secs(1)).is_some(),
            "an old call still has one"
        );
    }
}
