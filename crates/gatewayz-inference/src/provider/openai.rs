//! A provider that speaks OpenAI's HTTP API.

use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Method, Request};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{Incoming, IncomingBody, Outgoing};
use crate::catalog::Operation;
use crate::failure::Failure;

const MAX_HEADER_BYTES: usize = 64 * 1024;
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Addresses and key of one provider.
#[derive(Debug)]
pub(crate) struct OpenAi {
    chat: Url,
    embeddings: Url,
    models: Url,
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
        Self {
            chat: joined(base_url, &["chat", "completions"]),
            embeddings: joined(base_url, &["embeddings"]),
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

    pub(super) async fn send(&self, client: &Client, outgoing: Outgoing) -> Result<Incoming, Failure> {
        let url = match outgoing.operation {
            Operation::Chat => &self.chat,
            Operation::Embeddings => &self.embeddings,
        };
        let accept = if outgoing.stream {
            "text/event-stream"
        } else {
            "application/json"
        };
        let mut request = Request::new(Method::POST, url.clone());
        *request.headers_mut() = outgoing.headers;
        self.write_headers(request.headers_mut(), accept);
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(outgoing.body.into());
        let mut response = client.execute(request).await.map_err(|error| {
            if error.is_connect() {
                Failure::Connect
            } else {
                Failure::Transport
            }
        })?;
        let headers = std::mem::take(response.headers_mut());
        if size(&headers) > MAX_HEADER_BYTES {
            return Err(Failure::TooLarge);
        }
        Ok(Incoming {
            status: response.status(),
            headers,
            body: IncomingBody::Http(Box::new(response)),
        })
    }

    /// Asks for the list of models, which costs nothing. `true` when the provider is there and takes our key.
    pub(crate) async fn probe(&self, client: &Client) -> bool {
        let mut request = Request::new(Method::GET, self.models.clone());
        self.write_headers(request.headers_mut(), "application/json");
        *request.timeout_mut() = Some(PROBE_TIMEOUT);
        match client.execute(request).await {
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

/// `base` with further segments; its query stays.
fn joined(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    // Fails only for URLs without a host, which the catalog refuses.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
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
    fn the_key_is_not_shown() {
        let key = SecretString::from("sk-hidden");
        let provider = OpenAi::new(&Url::parse("http://h/v1").unwrap(), Some(key));

        assert!(!format!("{provider:?}").contains("hidden"), "{provider:?}");
    }
}
