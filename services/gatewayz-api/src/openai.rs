//! OpenAI's form of an error answer, for everything under `/v1`.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::json;

/// Whether errors at this path have OpenAI's form.
#[must_use]
pub fn speaks_openai(path: &str) -> bool {
    path == "/v1" || path.starts_with("/v1/")
}

/// An error with a fixed text: nothing of the request or of the inside is repeated.
#[must_use]
pub fn error(status: StatusCode, message: &str) -> HttpResponse {
    let (kind, code) = match status {
        StatusCode::NOT_FOUND => ("invalid_request_error", Some("unknown_url")),
        StatusCode::METHOD_NOT_ALLOWED => ("invalid_request_error", Some("method_not_allowed")),
        StatusCode::PAYLOAD_TOO_LARGE => ("invalid_request_error", Some("request_too_large")),
        StatusCode::REQUEST_TIMEOUT => ("invalid_request_error", Some("request_timeout")),
        StatusCode::SERVICE_UNAVAILABLE => ("server_error", Some("overloaded")),
        status if status.is_server_error() => ("server_error", Some("internal_error")),
        _ => ("invalid_request_error", None),
    };
    HttpResponse::build(status).json(json!({
        "error": { "message": message, "type": kind, "param": null, "code": code },
    }))
}
