//! A server of a running stack as tasks ask it: its credentials, and in one line why there is no answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use url::Url;

/// Largest answer that is read.
const MAX_BODY_BYTES: u64 = 32 * 1024 * 1024;
/// Connections that are kept for the next requests.
const IDLE_CONNECTIONS: usize = 512;
/// Most of a foreign text that is shown.
const SHOWN_CHARACTERS: usize = 160;

/// One server: where it is, what it is called, and what lets us in.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    name: &'static str,
    base: String,
    authorization: Option<Authorization>,
    /// How a user gives credentials for it, told when it refuses.
    credentials_option: &'static str,
    agent: Agent,
    timeout: Duration,
}

/// One answer, of any status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The `Date` header.
    pub(crate) date: Option<String>,
    /// The `X-Trace-Id` header of our service.
    pub(crate) trace_id: Option<String>,
    pub(crate) body: String,
}

/// Why a server gave no usable answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Fault {
    /// No connection, no such name, no TLS, a broken answer.
    #[error("{server} is not reachable at {base}: {reason}")]
    Unreachable {
        server: &'static str,
        base: String,
        reason: String,
    },
    /// Connected perhaps, but no whole answer in time.
    #[error("{server} did not answer {path} within {} s", timeout.as_secs_f32())]
    Slow {
        server: &'static str,
        path: String,
        timeout: Duration,
    },
    /// 401 or 403.
    #[error("{server} refuses the credentials: {status} to {path}; set {option}")]
    Credentials {
        server: &'static str,
        status: u16,
        path: String,
        option: &'static str,
    },
    /// Any other status than 2xx.
    #[error("{server} answered {status} to {path}: {message}")]
    Status {
        server: &'static str,
        status: u16,
        path: String,
        message: String,
    },
    /// A success that means nothing to us.
    #[error("{server} answered {path} with what is not its JSON; does something else listen at {base}?")]
    Foreign {
        server: &'static str,
        path: String,
        base: String,
    },
}

impl Fault {
    /// Whether the same request may succeed a moment later.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Status {
                status: 429 | 500..,
                ..
            }
        )
    }
}

/// Value of an `Authorization` header; never shown.
#[derive(Clone)]
pub(crate) struct Authorization(String);

impl fmt::Debug for Authorization {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl Authorization {
    /// `user:password` becomes Basic, anything else is a bearer token.
    pub(crate) fn of(credentials: &str) -> Self {
        if credentials.contains(':') {
            Self(format!("Basic {}", STANDARD.encode(credentials)))
        } else {
            Self::bearer(credentials)
        }
    }

    /// A key of our service.
    pub(crate) fn bearer(key: &str) -> Self {
        Self(format!("Bearer {key}"))
    }
}

impl Server {
    /// A server that is not asked anything yet; each request of it has `timeout`.
    ///
    /// # Errors
    /// When `base` is no HTTP URL or carries credentials, which a list of processes would show.
    pub(crate) fn new(
        name: &'static str,
        base: &Url,
        credentials_option: &'static str,
        authorization: Option<Authorization>,
        timeout: Duration,
    ) -> Result<Self> {
        ensure!(
            matches!(base.scheme(), "http" | "https") && base.has_host(),
            "read the URL of {name}: it is not http or https"
        );
        ensure!(
            base.username().is_empty() && base.password().is_none(),
            "read the URL of {name}: give credentials in a variable, with {credentials_option}"
        );
        Ok(Self {
            name,
            base: base.as_str().trim_end_matches('/').to_owned(),
            authorization,
            credentials_option,
            agent: agent(timeout),
            timeout,
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Whether requests of it carry credentials.
    pub(crate) fn has_credentials(&self) -> bool {
        self.authorization.is_some()
    }

    /// The JSON answer to `GET path?query`.
    ///
    /// # Errors
    /// When there is none, or its status is not 2xx.
    pub(crate) fn json(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Fault> {
        let answer = self.successful(path, query)?;
        serde_json::from_str(&answer.body).map_err(|_| self.foreign(path))
    }

    /// The answer to `GET path?query`.
    ///
    /// # Errors
    /// When there is none, or its status is not 2xx.
    pub(crate) fn successful(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer, Fault> {
        let answer = self.answer(path, query, &[])?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        Err(self.refused(path, &answer))
    }

    /// The answer to `GET path?query` with these headers, whatever its status.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn answer(
        &self,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Result<Answer, Fault> {
        let mut request = self
            .agent
            .get(format!("{}{path}", self.base))
            .query_pairs(query.iter().copied());
        if let Some(Authorization(value)) = &self.authorization {
            request = request.header("Authorization", value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.read(path, request.call())
    }

    /// The answer to `POST path` with a JSON body, whatever its status.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn post(&self, path: &str, body: &str) -> Result<Answer, Fault> {
        let mut request = self
            .agent
            .post(format!("{}{path}", self.base))
            .content_type("application/json");
        if let Some(Authorization(value)) = &self.authorization {
            request = request.header("Authorization", value);
        }
        self.read(path, request.send(body))
    }

    /// What an answer without success means.
    pub(crate) fn refused(&self, path: &str, answer: &Answer) -> Fault {
        let (server, path) = (self.name, path.to_owned());
        match answer.status {
            status @ (401 | 403) => Fault::Credentials {
                server,
                status,
                path,
                option: self.credentials_option,
            },
            status => Fault::Status {
                server,
                status,
                path,
                message: message(&answer.body),
            },
        }
    }

    /// An answer that another program would give.
    pub(crate) fn foreign(&self, path: &str) -> Fault {
        Fault::Foreign {
            server: self.name,
            path: path.to_owned(),
            base: self.base.clone(),
        }
    }

    fn read(
        &self,
        path: &str,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Answer, Fault> {
        let mut response = response.map_err(|error| self.fault(path, &error))?;
        let header = |name| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let (date, trace_id) = (header("date"), header("x-trace-id"));
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_BODY_BYTES)
            .lossy_utf8(true)
            .read_to_string()
            .map_err(|error| self.fault(path, &error))?;
        Ok(Answer {
            status: response.status().as_u16(),
            date,
            trace_id,
            body,
        })
    }

    fn fault(&self, path: &str, error: &ureq::Error) -> Fault {
        let unreachable = |reason| Fault::Unreachable {
            server: self.name,
            base: self.base.clone(),
            reason,
        };
        match error {
            ureq::Error::Timeout(_) => Fault::Slow {
                server: self.name,
                path: path.to_owned(),
                timeout: self.timeout,
            },
            ureq::Error::Io(error) => unreachable(error.to_string()),
            error => unreachable(error.to_string()),
        }
    }
}

/// Value of a variable that the user named; `None` when it is unset or empty.
#[expect(
    clippy::disallowed_methods,
    reason = "the user names the variable; it is no setting of the service"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Reads the URL of an option.
///
/// # Errors
/// When it is none.
pub(crate) fn url(text: &str) -> Result<Url> {
    Url::parse(text).with_context(|| format!("read the URL {text}"))
}

/// A client whose requests end after `timeout`: no proxy, no redirects, every status an answer.
pub(crate) fn agent(timeout: Duration) -> Agent {
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .proxy(None)
        .max_redirects(0)
        .max_idle_connections(IDLE_CONNECTIONS)
        .max_idle_connections_per_host(IDLE_CONNECTIONS)
        .max_redirects_will_error(false)
        .user_agent("gatewayz-xtask")
        .build()
        .into()
}

/// What a body says is wrong, on one line.
fn message(body: &str) -> String {
    let json: Option<Value> = serde_json::from_str(body).ok();
    let told = json.as_ref().and_then(|json| {
        ["message", "error", "detail"]
            .iter()
            .find_map(|key| json.get(key).and_then(Value::as_str))
    });
    let line = told
        .unwrap_or(body)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    if line.is_empty() {
        return "no reason given".to_owned();
    }
    line.chars().take(SHOWN_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_never_shown() {
        let url = url("http://127.0.0.1:1").unwrap();
        for credentials in ["user:a-password", "a-password"] {
            let authorization = Some(Authorization::of(credentials));
            let server = Server::new("Loki", &url, "--loki-auth-env", authorization, Duration::ZERO).unwrap();

            assert!(!format!("{server:?}").contains("a-password"));
            assert!(!format!("{server:?}").contains(&STANDARD.encode(credentials)));
        }
    }

    #[test]
    fn a_url_with_credentials_is_refused_without_showing_them() {
        let url = url("http://user:a-password@127.0.0.1:1").unwrap();

        let error = Server::new("Loki", &url, "--loki-auth-env", None, Duration::ZERO).unwrap_err();

        assert_eq!(
            error.to_string(),
            "read the URL of Loki: give credentials in a variable, with --loki-auth-env"
        );
    }

    #[test]
    fn a_reason_is_one_short_line() {
        assert_eq!(
            message(r#"{"status":"error","error":"parse\nerror"}"#),
            "parse error"
        );
        assert_eq!(message(""), "no reason given");
        assert_eq!(message(&"x".repeat(1000)).len(), SHOWN_CHARACTERS);
    }
}
