//! Why a call was not answered, and OpenAI's form of saying so.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;

use crate::answer::{Answer, Body};
use crate::keys::RateLimit;
use crate::request::RequestError;

pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const LIMIT_SCOPE: HeaderName = HeaderName::from_static("x-gatewayz-limit-scope");
/// What a client is told where a provider at its limit does not say how long to wait.
const LIMIT_WAIT: Duration = Duration::from_secs(5);
/// Longest part of a client's model id that an answer repeats.
const SHOWN_MODEL_CHARACTERS: usize = 128;

/// Why a call was not answered. [`answer`](Self::answer) is what the client gets.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InferenceError {
    /// The body cannot be routed.
    #[error("read the request")]
    Request(#[from] RequestError),
    /// The body is larger than the server takes.
    #[error("take a body of more than {limit_bytes} bytes")]
    TooLarge {
        /// The largest body that is taken.
        limit_bytes: usize,
    },
    /// No key, or none we know.
    #[error("find the API key")]
    Key,
    /// The key has no requests left for now.
    #[error("wait for the API key's next request")]
    RateLimited {
        /// The name of the key, for logs.
        key: Arc<str>,
        /// Where it stands.
        limit: RateLimit,
    },
    /// The catalog has no such model.
    #[error("find the model")]
    UnknownModel {
        /// As the client wrote it: never for a label or a log.
        model: String,
    },
    /// The model is of another kind.
    #[error("use the model for {operation}")]
    WrongOperation {
        /// What was asked for.
        operation: &'static str,
    },
    /// There is no such route.
    #[error("find the route")]
    UnknownUrl,
    /// The route takes other methods.
    #[error("find a route with this method")]
    MethodNotAllowed,
    /// The provider refused the request itself; another one would too.
    #[error("get the request accepted by the provider: status {status}")]
    Rejected {
        /// 400, 404, 413 or 422.
        status: StatusCode,
        /// OpenAI's error body, without key material.
        body: Bytes,
    },
    /// The provider refused our key.
    #[error("get our key accepted by the provider")]
    ProviderKey,
    /// Every provider is at its limit.
    #[error("find a provider below its limit")]
    ProviderLimit {
        /// When the provider expects to take calls again; `None` when it does not say.
        retry_after: Option<Duration>,
    },
    /// No provider gave an answer that can be used.
    #[error("get an answer from a provider")]
    ProviderFailed,
    /// All candidates are kept away from by their breakers.
    #[error("find a provider that is up")]
    NoProvider {
        /// When the first breaker lets a call through.
        retry_after: Duration,
    },
    /// A time limit was reached.
    #[error("get an answer in time")]
    Timeout,
    /// There is no memory for the answer now, or no file for the connection.
    #[error("find memory or a file for the answer")]
    Overloaded,
    /// The service stops before an answer began.
    #[error("get an answer before the service stops")]
    ShuttingDown,
    /// There is no catalog.
    #[error("find a catalog")]
    NotConfigured,
    /// The gateway itself failed.
    #[error("serve the call")]
    Internal,
}

/// The four members of OpenAI's error object; all of them are always there.
#[derive(Serialize)]
pub(crate) struct ErrorObject<'a> {
    pub(crate) message: &'a str,
    pub(crate) r#type: &'a str,
    pub(crate) param: Option<&'a str>,
    pub(crate) code: Option<&'a str>,
}

impl ErrorObject<'_> {
    /// `{"error":{...}}`.
    pub(crate) fn to_body(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Envelope<'a> {
            error: &'a ErrorObject<'a>,
        }
        // Text and nothing else: writing it cannot fail.
        serde_json::to_vec(&Envelope { error: self }).unwrap_or_default()
    }
}

impl InferenceError {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Request(_) | Self::WrongOperation { .. } => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Key => StatusCode::UNAUTHORIZED,
            Self::RateLimited { .. } | Self::ProviderLimit { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::UnknownModel { .. } | Self::UnknownUrl => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Rejected { status, .. } => *status,
            Self::ProviderKey | Self::ProviderFailed => StatusCode::BAD_GATEWAY,
            Self::NoProvider { .. } | Self::Overloaded | Self::ShuttingDown | Self::NotConfigured => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Headers beside the content type.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match self {
            Self::RateLimited { limit, .. } => limit.write(&mut headers),
            Self::ProviderLimit { retry_after } => {
                headers.insert(LIMIT_SCOPE, HeaderValue::from_static("upstream"));
                let retry_after = retry_after.unwrap_or(LIMIT_WAIT);
                headers.insert(RETRY_AFTER, whole_seconds(retry_after));
            }
            Self::NoProvider { retry_after } => {
                headers.insert(RETRY_AFTER, whole_seconds(*retry_after));
            }
            Self::Overloaded => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // RFC 9110, 15.5.2: a 401 says how to authenticate.
            Self::Key => {
                headers.insert(
                    WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer realm=\"gatewayz\""),
                );
            }
            Self::Request(_)
            | Self::TooLarge { .. }
            | Self::UnknownModel { .. }
            | Self::WrongOperation { .. }
            | Self::UnknownUrl
            | Self::MethodNotAllowed
            | Self::Rejected { .. }
            | Self::ProviderKey
            | Self::ProviderFailed
            | Self::Timeout
            | Self::ShuttingDown
            | Self::NotConfigured
            | Self::Internal => {}
        }
        if self.is_exhausted() {
            // The gateway has tried what there is; the SDKs' two further rounds would multiply the load.
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        headers
    }

    /// OpenAI's error body.
    #[must_use]
    pub fn body(&self) -> Bytes {
        let invalid = "invalid_request_error";
        let object = |message: &str, kind: &str, param: Option<&str>, code: Option<&str>| {
            let object = ErrorObject {
                message,
                r#type: kind,
                param,
                code,
            };
            Bytes::from(object.to_body())
        };
        match self {
            Self::Request(error) => object(&error.message, invalid, error.param, None),
            Self::TooLarge { limit_bytes } => {
                let message = format!("The request body is larger than {limit_bytes} bytes.");
                object(&message, invalid, None, Some("request_too_large"))
            }
            Self::Key => object(
                "Incorrect or missing API key. Send it as `Authorization: Bearer <key>`.",
                invalid,
                None,
                Some("invalid_api_key"),
            ),
            Self::RateLimited { limit, .. } => object(
                &format!("Rate limit reached: {} requests per minute.", limit.limit),
                "requests",
                None,
                Some("rate_limit_exceeded"),
            ),
            Self::UnknownModel { model } => {
                let shown: String = model.chars().take(SHOWN_MODEL_CHARACTERS).collect();
                let message = format!("The model '{shown}' does not exist. GET /v1/models lists what does.");
                object(&message, invalid, Some("model"), Some("model_not_found"))
            }
            Self::WrongOperation { operation } => {
                let message = format!("The model cannot be used for {operation}.");
                object(&message, invalid, Some("model"), None)
            }
            Self::UnknownUrl => object("There is no such route.", invalid, None, Some("unknown_url")),
            Self::MethodNotAllowed => object(
                "The route does not take this method.",
                invalid,
                None,
                Some("method_not_allowed"),
            ),
            Self::Rejected { body, .. } => body.clone(),
            Self::ProviderKey => object(
                "The provider refused the gateway's credentials.",
                "api_error",
                None,
                Some("upstream_auth_error"),
            ),
            Self::ProviderLimit { .. } => object(
                "The provider is at its rate limit.",
                "requests",
                None,
                Some("rate_limit_exceeded"),
            ),
            Self::ProviderFailed => object(
                "The provider failed to answer.",
                "api_error",
                None,
                Some("upstream_error"),
            ),
            Self::NoProvider { .. } => object(
                "No provider of this model is available.",
                "api_error",
                None,
                Some("no_available_provider"),
            ),
            Self::Timeout => object(
                "The provider did not answer in time.",
                "timeout_error",
                None,
                Some("upstream_timeout"),
            ),
            Self::Overloaded => object(
                "Too many calls or long answers at once; try again.",
                "server_error",
                None,
                Some("overloaded"),
            ),
            Self::ShuttingDown => object(
                "The gateway is shutting down.",
                "server_error",
                None,
                Some("server_shutting_down"),
            ),
            Self::NotConfigured => object(
                "No models are configured.",
                "api_error",
                None,
                Some("not_configured"),
            ),
            Self::Internal => object(
                "The gateway failed.",
                "server_error",
                None,
                Some("internal_error"),
            ),
        }
    }

    /// The whole answer.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let mut headers = self.headers();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Answer {
            status: self.status(),
            headers,
            body: Body::Bytes(self.body()),
        }
    }

    fn is_exhausted(&self) -> bool {
        match self {
            Self::ProviderKey | Self::ProviderLimit { .. } | Self::ProviderFailed | Self::Timeout => true,
            Self::Request(_)
            | Self::TooLarge { .. }
            | Self::Key
            | Self::RateLimited { .. }
            | Self::UnknownModel { .. }
            | Self::WrongOperation { .. }
            | Self::UnknownUrl
            | Self::MethodNotAllowed
            | Self::Rejected { .. }
            | Self::NoProvider { .. }
            | Self::Overloaded
            | Self::ShuttingDown
            | Self::NotConfigured
            | Self::Internal => false,
        }
    }
}

/// Seconds for `Retry-After`, rounded up: earlier would be too early.
pub(crate) fn whole_seconds(duration: Duration) -> HeaderValue {
    HeaderValue::from(duration.as_secs() + u64::from(duration.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[track_caller]
    fn check(error: &InferenceError, status: u16, kind: &str, code: Option<&str>) {
        let body: Value = serde_json::from_slice(&error.body()).unwrap();

        assert_eq!(error.status().as_u16(), status);
        let object = body["error"].as_object().unwrap();
        let keys: Vec<_> = object.keys().map(String::as_str).collect();
        assert_eq!(keys, ["message", "type", "param", "code"]);
        assert_eq!(object["type"], kind);
        assert_eq!(object["code"].as_str(), code);
    }

    #[test]
    fn every_failure_has_its_status_type_and_code() {
        use InferenceError as Error;
        let request = RequestError::new(Some("model"), "m");
        check(&Error::Request(request), 400, "invalid_request_error", None);
        check(
            &Error::WrongOperation { operation: "chat" },
            400,
            "invalid_request_error",
            None,
        );
        check(&Error::Key, 401, "invalid_request_error", Some("invalid_api_key"));
        let unknown = Error::UnknownModel { model: "x".into() };
        check(&unknown, 404, "invalid_request_error", Some("model_not_found"));
        check(
            &Error::UnknownUrl,
            404,
            "invalid_request_error",
            Some("unknown_url"),
        );
        check(
            &Error::MethodNotAllowed,
            405,
            "invalid_request_error",
            Some("method_not_allowed"),
        );
        check(
            &Error::TooLarge { limit_bytes: 1 },
            413,
            "invalid_request_error",
            Some("request_too_large"),
        );
        let limit = Error::ProviderLimit { retry_after: None };
        check(&limit, 429, "requests", Some("rate_limit_exceeded"));
        check(&Error::ProviderKey, 502, "api_error", Some("upstream_auth_error"));
        check(&Error::ProviderFailed, 502, "api_error", Some("upstream_error"));
        let none = Error::NoProvider {
            retry_after: Duration::from_millis(1_001),
        };
        check(&none, 503, "api_error", Some("no_available_provider"));
        assert_eq!(none.headers()[RETRY_AFTER], "2");
        check(&Error::Overloaded, 503, "server_error", Some("overloaded"));
        assert_eq!(Error::Overloaded.headers()[RETRY_AFTER], "1");
        check(&Error::Timeout, 504, "timeout_error", Some("upstream_timeout"));
    }

    #[test]
    fn a_client_stops_only_when_the_gateway_has_tried_everything() {
        let should_retry = |error: &InferenceError| error.headers().get(SHOULD_RETRY).cloned();

        assert_eq!(should_retry(&InferenceError::ProviderFailed).unwrap(), "false");
        assert_eq!(
            should_retry(&InferenceError::ProviderLimit { retry_after: None }).unwrap(),
            "false"
        );
        let none = InferenceError::NoProvider {
            retry_after: Duration::from_secs(1),
        };
        assert_eq!(should_retry(&none), None);
    }

    #[test]
    fn a_long_model_id_is_cut() {
        let error = InferenceError::UnknownModel {
            model: "é\"".repeat(100_000),
        };

        assert!(error.body().len() < 1_000);
    }
}
