//! The HTTP metrics, under the names FastAPI dashboards use.

use gatewayz_metrics::{Alias, Family, Registry, SeriesError, Unit};

use crate::settings::TelemetrySettings;

const BY_STATUS: &[&str] = &["app_name", "method", "path", "status_code"];
const BY_ROUTE: &[&str] = &["app_name", "method", "path"];

/// A model's answer may take a minute or two, a cached one under a millisecond.
const DURATION_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
];
const SIZE_BUCKETS: &[f64] = &[100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0];

/// Every request, once.
pub const REQUESTS: Family = Family::counter(
    "fastapi_requests_total",
    "Requests answered, by route template and status.",
    BY_STATUS,
)
.with_alias(&[Alias::always(
    "fastapi_responses_total",
    "Responses given; the same data as fastapi_requests_total, for dashboards that ask by this name.",
)]);

pub(crate) const DURATION: Family = Family::histogram(
    "fastapi_requests_duration_seconds",
    "Time from the request's head to the last byte of its response.",
    BY_STATUS,
    Unit::Seconds,
    DURATION_BUCKETS,
)
.with_alias(&[Alias::legacy(
    "fastapi_request_duration_seconds",
    "The same data as fastapi_requests_duration_seconds under its older name.",
)]);

pub(crate) const IN_PROGRESS: Family =
    Family::gauge("fastapi_requests_in_progress", "Requests being served.", BY_ROUTE);

pub(crate) const REQUEST_SIZE: Family = Family::histogram(
    "fastapi_request_size_bytes",
    "Bytes of request bodies that were read; an announced length counts for nothing.",
    BY_ROUTE,
    Unit::Bytes,
    SIZE_BUCKETS,
);

pub(crate) const RESPONSE_SIZE: Family = Family::histogram(
    "fastapi_response_size_bytes",
    "Bytes of response bodies handed to the connection.",
    BY_ROUTE,
    Unit::Bytes,
    SIZE_BUCKETS,
);

pub(crate) const EXCEPTIONS: Family = Family::counter(
    "fastapi_exceptions_total",
    "Requests that failed by a panic, by an error that became a 5xx, or while their body was sent.",
    &["app_name", "method", "path", "exception_type"],
);

pub(crate) const APP_INFO: Family = Family::gauge(
    "fastapi_app_info",
    "Always 1; version and environment of the process.",
    &["app_name", "version", "environment"],
);

pub(crate) const FAMILIES: &[Family] = &[
    APP_INFO,
    REQUESTS,
    DURATION,
    IN_PROGRESS,
    REQUEST_SIZE,
    RESPONSE_SIZE,
    EXCEPTIONS,
];

/// Sets the one series that says what runs here.
pub(crate) fn register_info(registry: &Registry, settings: &TelemetrySettings) -> Result<(), SeriesError> {
    let labels = [
        settings.app_name.as_str(),
        &settings.service_version,
        &settings.environment,
    ];
    registry.gauge(&APP_INFO, &labels)?.set(1.0);
    Ok(())
}
