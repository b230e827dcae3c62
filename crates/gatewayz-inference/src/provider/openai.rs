//! A provider that speaks OpenAI's HTTP API.

use std::iter::successors;
use std::time::Duration;

use gatewayz_delivery::http::client_builder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, USER_AGENT,
};
use http::{Method, Request, Response, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::{Error, ResponseFuture};
use rustix::io::Errno;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::client::Client;
use super::{Incoming, IncomingBody, Outgoing};
use crate::catalog::Operation;
use crate::failure::Failure;

const OUR_NAME: &str = concat!("gatewayz/", env!("CARGO_PKG_VERSION"));
const MAX_HEADER_BYTES: usize = 64 * 1024;
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Addresses and key of one provider.
#[derive(Debug)]
pub(crate) struct OpenAi {
    chat: Url,
    chat_uri: Uri,
    embeddings_uri: Uri,
    models: Url,
    /// Host and port as a client names them.
    host: Option<HeaderValue>,
    authorization: Option<HeaderValue>,
    pub(crate) key: Option<SecretString>,
}

impl OpenAi {
    pub(crate) fn new(base_url: &Url, key: Option<SecretString>) -> Self {
        let authorization = key.as_ref().and_then(|key| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret())).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        let chat = joined(base_url, &["chat", "completions"]);
        Self {
            chat_uri: uri(&chat),
            embeddings_uri: uri(&joined(base_url, &["embeddings"])),
            host: host(&chat),
            chat,
            models: joined(base_url, &["models"]),
            authorization,
            key,
        }
    }

    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        self.chat == other.chat && self.authorization == other.authorization
    }

    /// Where chats go: tells places of one name apart.
    pub(super) fn url(&self) -> &str {
        self.chat.as_str()
    }

    /// Host and port, for spans.
    pub(crate) fn address(&self) -> (&str, u16) {
        let host = self.chat.host_str().unwrap_or_default();
        (host, self.chat.port_or_known_default().unwrap_or_default())
    }

    /// Sends a request; [`received`] is what comes of it.
    pub(super) fn send(&self, client: &Client, outgoing: Outgoing) -> ResponseFuture {
        let uri = match outgoing.operation {
            Operation::Chat => &self.chat_uri,
            Operation::Embeddings => &self.embeddings_uri,
        };
        let accept = if outgoing.stream {
            "text/event-stream"
        } else {
            "application/json"
        };
        let mut request = Request::new(Full::new(outgoing.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        let headers = request.headers_mut();
        *headers = outgoing.headers;
        // The client would put it together anew for each request.
        if let Some(host) = &self.host {
            headers.insert(HOST, host.clone());
        }
        headers.insert(USER_AGENT, HeaderValue::from_static(OUR_NAME));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.write_headers(headers, accept);
        client.request(request)
    }

    /// Asks for the list of models, which costs nothing. `true` when the provider is there and takes our key.
    ///
    /// Opens a connection of its own each time: that one can be opened is part of what is asked.
    pub(crate) async fn probe(&self, connect_timeout: Duration) -> bool {
        let client = client_builder(OUR_NAME)
            .connect_timeout(connect_timeout)
            .timeout(PROBE_TIMEOUT)
            .build();
        let Ok(client) = client else { return false };
        let mut headers = HeaderMap::new();
        self.write_headers(&mut headers, "application/json");
        match client.get(self.models.clone()).headers(headers).send().await {
            // A provider without that route is there all the same.
            Ok(response) => !matches!(response.status().as_u16(), 401 | 403 | 500..),
            Err(_) => false,
        }
    }

    fn write_headers(&self, headers: &mut HeaderMap, accept: &'static str) {
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
    }
}

/// Takes the head of an answer.
pub(super) fn received(answer: Result<Response<hyper::body::Incoming>, Error>) -> Result<Incoming, Failure> {
    let answer = answer.map_err(|error| match error {
        error if is_out_of_files(&error) => Failure::NoRoom,
        error if error.is_connect() => Failure::Connect,
        _ => Failure::Transport,
    })?;
    let (head, body) = answer.into_parts();
    if size(&head.headers) > MAX_HEADER_BYTES {
        return Err(Failure::TooLarge);
    }
    Ok(Incoming {
        status: head.status,
        headers: head.headers,
        body: IncomingBody::Http(body),
    })
}

/// Whether the process may open no more files, which says nothing of the provider.
fn is_out_of_files(error: &Error) -> bool {
    let first: &dyn std::error::Error = error;
    successors(Some(first), |error| error.source())
        .filter_map(|error| Errno::from_io_error(error.downcast_ref()?))
        .any(|errno| matches!(errno, Errno::MFILE | Errno::NFILE))
}

/// `base` with further segments; its query stays.
fn joined(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    // Fails only for URLs without a host, which the catalog refuses.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// For a client that takes no [`Url`]; one that cannot be written for it fails each call.
fn uri(url: &Url) -> Uri {
    Uri::try_from(url.as_str()).unwrap_or_default()
}

/// Without the port that the scheme has anyway.
fn host(url: &Url) -> Option<HeaderValue> {
    let host = url.host_str()?;
    let text = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    HeaderValue::from_str(&text).ok()
}

fn size(headers: &HeaderMap) -> usize {
    let sizes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len());
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_joined_to_any_base() {
        for (base, expected) in [
            ("http://h/v1", "http://h/v1/chat/completions"),
            ("http://h/v1/", "http://h/v1/chat/completions"),
            ("http://h", "http://h/chat/completions"),
            (
                "http://h/d/x?api-version=1",
                "http://h/d/x/chat/completions?api-version=1",
            ),
        ] {
            let provider = OpenAi::new(&Url::parse(base).unwrap(), None);
            assert_eq!(provider.chat.as_str(), expected);
        }
    }

    #[test]
    fn hosts_are_named_without_a_port_that_goes_without_saying() {
        for (base, expected) in [
            ("http://h/v1", "h"),
            ("http://h:80/v1", "h"),
            ("https://h:443", "h"),
            ("https://h:80", "h:80"),
            ("http://[::1]:8080/v1", "[::1]:8080"),
        ] {
            let provider = OpenAi::new(&Url::parse(base).unwrap(), None);
            assert_eq!(provider.host.unwrap(), expected);
        }
    }

    #[test]
    fn the_key_is_not_shown() {
        let key = SecretString::from("sk-hidden");
        let provider = OpenAi::new(&Url::parse("http://h/v1").unwrap(), Some(key));

        assert!(!format!("{provider:?}").contains("hidden"), "{provider:?}");
    }
}
