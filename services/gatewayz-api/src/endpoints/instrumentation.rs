//! `/api/instrumentation/*`: what is configured, and how delivery fares.

use std::time::{Instant, SystemTime};

use actix_web::http::header::{CACHE_CONTROL, HeaderValue};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use gatewayz_admin_auth::AdminIdentity;
use gatewayz_config::{Described, Url, redacted_url};
use gatewayz_telemetry::{SignalHealth, SignalState};
use gatewayz_tracing::{current_context, id};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::metrics::overall;
use crate::settings::LokiCredentials;
use crate::state::{State, VERSION, milliseconds, timestamp};

/// For answers that are only true at the moment.
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Health of the ways to Loki and Tempo. Only an admin is shown where they lead.
pub async fn health(state: Data<State>, admin: Option<AdminIdentity>) -> HttpResponse {
    let settings = &state.settings;
    let push_url = settings.loki.push.as_ref().map(|push| &push.url);
    let endpoint = settings.traces.export.as_ref().map(|export| &export.endpoint);
    let shown = admin.is_some();
    answer(&json!({
        "status": overall(&state),
        "timestamp": timestamp(),
        "loki": brief(&state, &state.telemetry.loki(), shown.then_some(("url", push_url))),
        "tempo": brief(&state, &state.telemetry.traces(), shown.then_some(("endpoint", endpoint))),
    }))
}

/// Ids of the request that asks.
#[derive(Serialize)]
struct TraceContext<'a> {
    trace_id: String,
    span_id: String,
    service_name: &'a str,
    /// Name of the request's span.
    operation_name: String,
    /// Since the handler began: reading and routing the request came before, sending comes after. The span and the
    /// log line have the whole.
    duration_ms: f64,
    timestamp: String,
}

/// The ids under which this very request is found in Tempo and Loki.
pub async fn trace_context(request: HttpRequest, state: Data<State>) -> HttpResponse {
    let started = Instant::now();
    let (trace_id, span_id) = current_ids();
    let route = request.match_pattern().unwrap_or_default();
    answer(&TraceContext {
        trace_id,
        span_id,
        service_name: &state.settings.service.service_name,
        operation_name: format!("{} {route}", request.method()),
        timestamp: timestamp(),
        duration_ms: milliseconds(started.elapsed()),
    })
}

/// Where log lines are pushed, under which labels, and with what success.
pub async fn loki_status(_admin: AdminIdentity, state: Data<State>) -> HttpResponse {
    let (service, loki) = (&state.settings.service, &state.settings.loki);
    let health = state.telemetry.loki();
    answer(&json!({
        "enabled": health.state != SignalState::Disabled,
        "push_url": shown_url(loki.push_url.as_ref()),
        "query_url": shown_url(loki.query_url.as_ref()),
        "service_name": service.service_name,
        "environment": service.environment.as_str(),
        "tags": loki_labels(&state),
        "delivery": delivery(&health),
        "timestamp": timestamp(),
    }))
}

/// Where spans are exported, for which resource, and with what success.
pub async fn tempo_status(_admin: AdminIdentity, state: Data<State>) -> HttpResponse {
    let (service, traces) = (&state.settings.service, &state.settings.traces);
    let health = state.telemetry.traces();
    answer(&json!({
        "enabled": health.state != SignalState::Disabled,
        "otlp_http_endpoint": shown_url(traces.tempo_http_endpoint.as_ref()),
        "otlp_grpc_endpoint": shown_url(traces.tempo_grpc_endpoint.as_ref()),
        "protocol": traces.export.as_ref().map(|export| export.protocol.as_str()),
        "service_name": service.service_name,
        "environment": service.environment.as_str(),
        "resource_attributes": resource_attributes(&state),
        "endpoint": shown_url(traces.export.as_ref().map(|export| &export.endpoint)),
        "delivery": delivery(&health),
        "timestamp": timestamp(),
    }))
}

/// The telemetry's configuration.
pub async fn config(_admin: AdminIdentity, state: Data<State>) -> HttpResponse {
    let settings = &state.settings;
    let service = &settings.service;
    let push = settings.loki.push.as_ref();
    let export = settings.traces.export.as_ref();
    let levels = state.telemetry.levels();
    answer(&json!({
        "service": {
            "name": service.service_name,
            "version": VERSION,
            "environment": service.environment.as_str(),
            "app_name": service.app_name,
        },
        "loki": {
            "enabled": push.is_some(),
            "push_url": shown_url(settings.loki.push_url.as_ref()),
            "query_url": shown_url(settings.loki.query_url.as_ref()),
            "labels": loki_labels(&state),
            "wire": shown(&state, "LOKI_WIRE"),
            "authentication": push.map(|push| match push.credentials {
                LokiCredentials::None => "none",
                LokiCredentials::Basic { .. } => "basic",
                LokiCredentials::Bearer(_) => "bearer",
            }),
            "queue_bytes": push.map(|push| push.queue_bytes),
            "batch_bytes": push.map(|push| push.batch_bytes),
        },
        "tempo": {
            "enabled": export.is_some(),
            "otlp_http_endpoint": shown_url(settings.traces.tempo_http_endpoint.as_ref()),
            "otlp_grpc_endpoint": shown_url(settings.traces.tempo_grpc_endpoint.as_ref()),
            "endpoint": shown_url(export.map(|export| &export.endpoint)),
            "endpoint_variable": export.map(|export| export.endpoint_variable),
            "protocol": export.map(|export| export.protocol.as_str()),
            "headers": export.map(|export| {
                let masked = export.headers.iter().map(|(name, _)| (name.clone(), Value::from("***")));
                masked.collect::<Map<_, _>>()
            }),
            "queue_bytes": export.map(|export| export.queue_bytes),
        },
        "logging": {
            "format": shown(&state, "LOG_FORMAT"),
            "levels": levels.current().as_str(),
            "configured": levels.configured().as_str(),
            "stdout_buffer_bytes": settings.log.stdout_buffer_bytes,
            "max_line_bytes": settings.log.max_line_bytes,
        },
        "sampling": {
            "recording": settings.traces.recording,
            "sampler": shown(&state, "OTEL_TRACES_SAMPLER"),
            "argument": shown(&state, "OTEL_TRACES_SAMPLER_ARG"),
            "incoming_sampled_per_second": settings.traces.incoming_sampled_per_second,
        },
        "environment_variables": variables(&state, |variable| !variable.is_default),
        "timestamp": timestamp(),
    }))
}

/// Every variable of the schema, and none besides: what else is in the environment is not ours to show.
pub async fn environment_variables(_admin: AdminIdentity, state: Data<State>) -> HttpResponse {
    const SERVICE: [&str; 4] = ["APP_NAME", "SERVICE_NAME", "ENVIRONMENT", "OTEL_SERVICE_NAME"];
    let described = state.described.load();
    let described = described.iter().map(|variable| {
        json!({
            "name": variable.name,
            "value": variable.value,
            "source": variable.source.to_string(),
            "default": variable.is_default,
            "secret": variable.secret,
        })
    });
    answer(&json!({
        "loki": variables(&state, |variable| variable.name.starts_with("LOKI_")),
        "tempo": variables(&state, |variable| variable.name.starts_with("TEMPO_")),
        "service": variables(&state, |variable| SERVICE.contains(&variable.name)),
        "variables": described.collect::<Vec<_>>(),
        "timestamp": timestamp(),
    }))
}

/// A 200 answer that no cache keeps.
pub(crate) fn answer(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, NO_STORE))
        .json(body)
}

/// Trace id and span id of the current span in hexadecimal; `none` outside of one.
pub(crate) fn current_ids() -> (String, String) {
    let text = |hex: &[u8]| String::from_utf8_lossy(hex).into_owned();
    match current_context() {
        Some(context) => (
            text(&id::trace_id_hex(context.trace_id)),
            text(&id::span_id_hex(context.span_id)),
        ),
        None => ("none".to_owned(), "none".to_owned()),
    }
}

/// The URL as it may be shown; `null` without one.
pub(crate) fn shown_url(url: Option<&Url>) -> Value {
    url.map_or(Value::Null, |url| redacted_url(url).into())
}

fn brief(state: &State, health: &SignalHealth, destination: Option<(&str, Option<&Url>)>) -> Value {
    let service = &state.settings.service;
    let figures = health.figures.as_ref();
    let mut brief = json!({
        "enabled": health.state != SignalState::Disabled,
        "status": health.state.as_str(),
        "service_name": service.service_name,
        "environment": service.environment.as_str(),
        "queued": figures.map_or(0, |figures| figures.queued),
        "dropped_total": figures.map_or(0, gatewayz_delivery::Status::lost_total),
        "last_success_age_seconds": health.last_success_age_seconds(),
    });
    if let (Some((key, url)), Some(members)) = (destination, brief.as_object_mut()) {
        members.insert(key.to_owned(), shown_url(url));
    }
    brief
}

/// `null` when the way is off.
fn delivery(health: &SignalHealth) -> Value {
    let Some(figures) = &health.figures else {
        return Value::Null;
    };
    let by_reason = figures
        .losses()
        .map(|(reason, count)| (reason.as_str().to_owned(), count.into()));
    json!({
        "status": health.state.as_str(),
        "queued": figures.queued,
        "queued_bytes": figures.queued_bytes,
        "capacity_bytes": figures.capacity_bytes,
        "in_flight": figures.in_flight,
        "delivered_total": figures.delivered,
        "dropped_total": figures.lost_total(),
        "dropped_by_reason": by_reason.collect::<Map<_, _>>(),
        "retries_total": figures.retries,
        "last_success_age_seconds": health.last_success_age_seconds(),
        "last_error": figures.last_error.as_ref().map(|error| json!({
            "message": error.message,
            "age_seconds": SystemTime::now().duration_since(error.at).unwrap_or_default().as_secs_f64(),
        })),
    })
}

fn loki_labels(state: &State) -> Value {
    let service = &state.settings.service;
    json!({
        "app": service.app_name,
        "environment": service.environment.as_str(),
        "service": service.service_name,
    })
}

fn resource_attributes(state: &State) -> Map<String, Value> {
    let attributes = state.telemetry.resource().iter();
    attributes
        .map(|(key, value)| (key.clone(), value.as_str().into()))
        .collect()
}

fn variables(state: &State, wanted: impl Fn(&Described) -> bool) -> Map<String, Value> {
    let described = state.described.load();
    let wanted = described.iter().filter(|variable| wanted(variable));
    wanted
        .map(|variable| (variable.name.to_owned(), json!(variable.value)))
        .collect()
}

fn shown(state: &State, name: &str) -> Value {
    let described = state.described.load();
    let variable = described.iter().find(|variable| variable.name == name);
    json!(variable.and_then(|variable| variable.value.as_deref()))
}
