//! `/metrics` and what `/api/metrics/*` tells about it.

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use gatewayz_metrics::COLLECT_ERRORS;
use gatewayz_telemetry::{ScrapeError, SignalState};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::instrumentation::{answer, current_ids};
use crate::dashboards::listing;
use crate::plane;
use crate::problem::Problem;
use crate::queries::Fill;
use crate::state::{State, timestamp};

const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"gatewayz-metrics\"");
const ONE_SECOND: HeaderValue = HeaderValue::from_static("1");

/// The metrics in the format that the Accept header asks for.
///
/// # Errors
/// 401 without the right METRICS_TOKEN when one is set, 503 while too many pages are being made.
pub async fn page(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, Problem> {
    if let Some(token) = &*state.metrics_token.load()
        && !presents(request.headers(), token)
    {
        let problem = Problem::new(
            StatusCode::UNAUTHORIZED,
            "Send METRICS_TOKEN as Authorization: Bearer.",
        );
        let mut response = problem.response();
        response.headers_mut().insert(WWW_AUTHENTICATE, CHALLENGE);
        return Ok(response);
    }
    state
        .telemetry
        .scrape(request.headers())
        .await
        .or_else(|error| match error {
            ScrapeError::Busy => {
                let problem = Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Too many scrapes at a time; try again.",
                );
                let mut response = problem.response();
                response.headers_mut().insert(RETRY_AFTER, ONE_SECOND);
                Ok(response)
            }
            ScrapeError::Render => Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "The page could not be made; try again.",
            )),
        })
}

/// What the metrics are and where.
pub async fn status(state: Data<State>) -> HttpResponse {
    answer(&Value::Object(description(&state)))
}

/// Every metric that `/metrics` may show.
pub async fn summary(state: Data<State>) -> HttpResponse {
    let own = state.telemetry.registry().exposed();
    let metrics: Vec<Value> = own
        .map(|metric| (metric.name, metric.kind, metric.help))
        .chain(
            plane::FAMILIES
                .iter()
                .map(|family| (family.name, family.kind, family.help)),
        )
        .map(|(name, kind, help)| json!({ "name": name, "type": kind.as_str(), "description": help }))
        .collect();
    let mut summary = description(&state);
    summary.insert("registered_metrics".to_owned(), metrics.len().into());
    summary.insert("metrics".to_owned(), metrics.into());
    answer(&Value::Object(summary))
}

/// The queries of the dashboards, ready to paste, for this service.
pub async fn grafana_queries(state: Data<State>) -> HttpResponse {
    let service = &state.settings.service;
    let (trace_id, _) = current_ids();
    let fill = Fill {
        app_name: &service.app_name,
        service_name: &service.service_name,
        rate_window: "5m",
        range: "1h",
        trace_id: &trace_id,
    };
    answer(&listing(&fill))
}

/// Health of metrics, traces and lines. Always 200: what is wrong stands in it.
pub async fn health(state: Data<State>) -> HttpResponse {
    let telemetry = &state.telemetry;
    let (traces, loki, stdout) = (telemetry.traces(), telemetry.loki(), telemetry.stdout());
    let exports = traces.state != SignalState::Disabled;
    let registry = telemetry.registry();
    let collect_errors = registry
        .counter(&COLLECT_ERRORS, &[])
        .map_or(0, |errors| errors.value());
    let is_page_bad = registry.last_page_failed();
    let page = if is_page_bad { "degraded" } else { "healthy" };
    answer(&json!({
        "status": if is_page_bad { page } else { overall(&state) },
        "timestamp": timestamp(),
        "components": {
            "prometheus": {
                "status": page,
                "registered_metrics": registry.exposed().count() + plane::FAMILIES.len(),
                "collect_errors_total": collect_errors,
            },
            "opentelemetry": {
                "status": traces.state.as_str(),
                "available": state.settings.traces.recording,
                "tempo_enabled": exports,
            },
            "loki": { "status": loki.state.as_str(), "enabled": loki.state != SignalState::Disabled },
            "stdout": { "status": stdout.state.as_str() },
        },
    }))
}

/// `degraded` when any way out is, else `healthy`.
pub(crate) fn overall(state: &State) -> &'static str {
    let telemetry = &state.telemetry;
    let signals = [telemetry.stdout(), telemetry.loki(), telemetry.traces()];
    if signals.iter().any(|signal| signal.state.is_degraded()) {
        "degraded"
    } else {
        "healthy"
    }
}

fn description(state: &State) -> Map<String, Value> {
    let service = &state.settings.service;
    let members = [
        ("status", json!(overall(state))),
        ("mode", json!("live")),
        ("app_name", json!(service.app_name)),
        ("environment", json!(service.environment.as_str())),
        ("service_name", json!(service.service_name)),
        ("timestamp", json!(timestamp())),
        ("metrics_endpoint", json!("/metrics")),
        ("grafana_compatible", json!(true)),
        (
            "supported_dashboards",
            json!(["FastAPI Observability (ID: 16110)", "FastAPI Dashboard"]),
        ),
    ];
    members
        .map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .collect()
}

/// Whether the request has exactly one `Authorization` header and it holds the token.
fn presents(headers: &HeaderMap, token: &SecretString) -> bool {
    let mut given = headers.get_all(AUTHORIZATION);
    let (Some(value), None) = (given.next(), given.next()) else {
        return false;
    };
    let credential = value.to_str().ok().and_then(|text| text.split_once(' '));
    let Some((scheme, given)) = credential else {
        return false;
    };
    // Digests have one length, so the comparison tells nothing of the token's.
    let same = Sha256::digest(given.trim_start()).ct_eq(&Sha256::digest(token.expose_secret()));
    scheme.eq_ignore_ascii_case("bearer") && bool::from(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_the_token_itself_opens_the_page() {
        let token = SecretString::from("a-token-of-some-length");
        let cases: &[(&[&str], bool)] = &[
            (&["Bearer a-token-of-some-length"], true),
            (&["bearer  a-token-of-some-length"], true),
            (&[], false),
            (&["a-token-of-some-length"], false),
            (&["Basic a-token-of-some-length"], false),
            (&["Bearer a-token-of-some-lengt"], false),
            (&["Bearer a-token-of-some-length "], false),
            (
                &["Bearer a-token-of-some-length", "Bearer a-token-of-some-length"],
                false,
            ),
        ];

        for (values, opens) in cases {
            assert_eq!(presents(&headers(values), &token), *opens, "{values:?}");
        }
    }
}
