//! The demonstration route.

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::web::Path;
use serde::Serialize;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

#[derive(Serialize)]
struct User {
    id: u64,
    name: &'static str,
}

/// The user of any number.
pub async fn user(id: Path<u64>) -> HttpResponse {
    let user = User {
        id: id.into_inner(),
        name: "John",
    };
    // A number and a fixed text are always valid JSON.
    let body = serde_json::to_vec(&user).unwrap_or_default();
    HttpResponse::Ok().insert_header((CONTENT_TYPE, JSON)).body(body)
}
