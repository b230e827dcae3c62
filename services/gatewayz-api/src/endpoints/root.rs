//! `/`: what this is and where everything else is.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;

use crate::state::{State, VERSION};

/// Name, version, environment and links.
pub async fn index(state: Data<State>) -> HttpResponse {
    let service = &state.settings.service;
    HttpResponse::Ok().json(json!({
        "name": service.service_name,
        "version": VERSION,
        "environment": service.environment.as_str(),
        "links": {
            "docs": "/docs",
            "openapi": "/openapi.json",
            "metrics": "/metrics",
            "health": "/health",
            "instrumentation_health": "/api/instrumentation/health",
        },
    }))
}
