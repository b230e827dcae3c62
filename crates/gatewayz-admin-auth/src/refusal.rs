//! The answers that the guard gives by itself.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse};

use crate::DisabledReason;

pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// What a problem answer says (RFC 9457). All texts are fixed: nothing of the request is in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem {
    /// The same for every problem of this status.
    pub title: &'static str,
    /// What to do about it.
    pub detail: &'static str,
}

/// Why a call does not reach its handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    MissingKey,
    InvalidKey,
    Throttled { retry_after: Duration },
    Disabled(DisabledReason),
}

/// Turns a problem into an answer; the guard then sets the status and its own headers.
pub(crate) type Answer = dyn Fn(&HttpRequest, StatusCode, Problem) -> HttpResponse + Send + Sync;

impl Refusal {
    pub(crate) fn answer(self, request: &HttpRequest, realm: &str, answer: &Answer) -> HttpResponse {
        let (status, problem) = self.problem();
        let mut response = answer(request, status, problem);
        *response.status_mut() = status;

        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, NO_STORE);
        match self {
            Self::MissingKey => headers.insert(WWW_AUTHENTICATE, challenge(realm, "")),
            Self::InvalidKey => {
                headers.insert(WWW_AUTHENTICATE, challenge(realm, r#", error="invalid_token""#))
            }
            Self::Throttled { retry_after } => {
                let whole = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
                headers.insert(RETRY_AFTER, HeaderValue::from(whole.max(1)))
            }
            Self::Disabled(_) => return response,
        };
        response
    }

    fn problem(self) -> (StatusCode, Problem) {
        match self {
            Self::MissingKey => (
                StatusCode::UNAUTHORIZED,
                Problem {
                    title: "Unauthorized",
                    detail: "an admin key is required: send the header Authorization: Bearer <key>",
                },
            ),
            Self::InvalidKey => (
                StatusCode::UNAUTHORIZED,
                Problem {
                    title: "Unauthorized",
                    detail: "the admin key is not valid: send one header Authorization: Bearer <key>",
                },
            ),
            Self::Throttled { .. } => (
                StatusCode::TOO_MANY_REQUESTS,
                Problem {
                    title: "Too Many Requests",
                    detail: "too many calls with a wrong admin key from this address",
                },
            ),
            Self::Disabled(reason) => (
                StatusCode::SERVICE_UNAVAILABLE,
                Problem {
                    title: "Service Unavailable",
                    detail: reason.detail(),
                },
            ),
        }
    }
}

/// `application/problem+json` with type, title, status and detail.
pub(crate) fn default_answer(_: &HttpRequest, status: StatusCode, problem: Problem) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("application/problem+json")
        .json(serde_json::json!({
            "type": "about:blank",
            "title": problem.title,
            "status": status.as_u16(),
            "detail": problem.detail,
        }))
}

fn challenge(realm: &str, error: &str) -> HeaderValue {
    HeaderValue::try_from(format!(r#"Bearer realm="{realm}"{error}"#))
        .unwrap_or(HeaderValue::from_static("Bearer"))
}
