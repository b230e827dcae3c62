//! `/health`, `/live` and `/ready`.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde_json::json;

use crate::state::State;

/// The service answers.
pub async fn health() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// The process lives; nothing outside it is asked.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "alive" }))
}

/// 503 while the service is stopping. A dead Loki or Tempo is told and changes nothing: requests are served
/// without them.
pub async fn ready(state: Data<State>) -> HttpResponse {
    let (status_code, status) = if state.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else {
        (StatusCode::OK, "ready")
    };
    let telemetry = &state.telemetry;
    HttpResponse::build(status_code).json(json!({
        "status": status,
        "components": {
            "stdout": telemetry.stdout().state.as_str(),
            "loki": telemetry.loki().state.as_str(),
            "tempo": telemetry.traces().state.as_str(),
        },
    }))
}
