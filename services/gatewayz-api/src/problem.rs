//! The one shape of an error answer: `application/problem+json` (RFC 9457) with the trace id.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use gatewayz_tracing::{current_context, id};
use serde_json::json;

use crate::openai;

/// An error a client may see. Texts are fixed: nothing of the request or of the inside is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem {
    /// The answer's status.
    pub status: StatusCode,
    /// What to do about it.
    pub detail: &'static str,
}

impl Problem {
    /// A problem with a status and a text for the client.
    #[must_use]
    pub const fn new(status: StatusCode, detail: &'static str) -> Self {
        Self { status, detail }
    }

    /// The answer at this path: under `/v1` it has OpenAI's form.
    #[must_use]
    pub fn response_at(self, path: &str) -> HttpResponse {
        if openai::speaks_openai(path) {
            return openai::error(self.status, self.detail);
        }
        self.response()
    }

    /// The answer, for the current span's trace.
    #[must_use]
    pub fn response(self) -> HttpResponse {
        refused(
            self.status,
            self.status.canonical_reason().unwrap_or("Error"),
            self.detail,
        )
    }
}

/// A problem answer for the current span's trace.
#[must_use]
pub fn refused(status: StatusCode, title: &str, detail: &str) -> HttpResponse {
    let trace_id = current_context().map(|context| id::trace_id_hex(context.trace_id));
    page(
        status,
        title,
        detail,
        trace_id.as_ref().and_then(|hex| str::from_utf8(hex).ok()),
    )
}

/// A problem answer whose texts and trace id the caller has.
fn page(status: StatusCode, title: &str, detail: &str, trace_id: Option<&str>) -> HttpResponse {
    let mut body =
        json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    if let (Some(members), Some(trace_id)) = (body.as_object_mut(), trace_id) {
        members.insert("trace_id".into(), trace_id.into());
    }
    HttpResponse::build(status)
        .content_type("application/problem+json")
        .body(body.to_string())
}

/// The answer to a panic.
#[must_use]
pub fn panicked(status: StatusCode, path: &str, trace_id: &str) -> HttpResponse {
    const DETAIL: &str = "The request failed; its trace id finds the reason in the log.";
    if openai::speaks_openai(path) {
        return openai::error(status, DETAIL);
    }
    page(status, "Internal Server Error", DETAIL, Some(trace_id))
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        self.response()
    }
}
