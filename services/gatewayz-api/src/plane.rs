//! The instrumentation plane: its traffic measured by actix-web-prom on a registry of its own, its admin calls
//! spanned by tracing-actix-web.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::{Error, HttpMessage};
use actix_web_prom::{
    ActixMetricsConfiguration, LabelsConfiguration, PrometheusMetrics, PrometheusMetricsBuilder,
};
use gatewayz_admin_auth::AdminIdentity;
use gatewayz_metrics::{Family, Unit};
use prometheus::Registry;
use tracing::Span;
use tracing_actix_web::RootSpanBuilder;

const NAMESPACE: &str = "gatewayz_instrumentation";
const LABELS: &[&str] = &["path", "method", "status_code"];
const BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5,
];

/// What appears on the page from this plane, for the catalog; actix-web-prom holds the samples.
pub const FAMILIES: &[Family] = &[
    Family::counter(
        "gatewayz_instrumentation_requests_total",
        "Total number of HTTP requests.",
        LABELS,
    ),
    Family::histogram(
        "gatewayz_instrumentation_requests_duration_seconds",
        "HTTP request duration in seconds for all requests.",
        LABELS,
        Unit::Seconds,
        BUCKETS,
    ),
];

/// Opens a span below the request's for an admin call, so that the trace and every line say whose key it was.
#[derive(Debug)]
pub struct AdminSpan;

impl RootSpanBuilder for AdminSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        match request.extensions().get::<AdminIdentity>() {
            Some(identity) => tracing::info_span!("admin call", admin.key_id = %identity.key_id),
            None => Span::none(),
        }
    }

    // The request's own outcome says how it ended.
    fn on_request_end<B: MessageBody>(_span: Span, _outcome: &Result<ServiceResponse<B>, Error>) {}
}

/// Why the plane's metrics could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("set up the metrics of the instrumentation plane: {0}")]
pub struct PlaneError(String);

/// The middleware for the plane's routes, recording on `registry`.
///
/// No `.endpoint`: with it the middleware replaces whatever the inner service answered, so an inner 401 would
/// become a 200 with all metrics.
///
/// # Errors
/// When the registry has families of these names already.
pub fn middleware(registry: Registry) -> Result<PrometheusMetrics, PlaneError> {
    let labels = LabelsConfiguration::default()
        .endpoint("path")
        .status("status_code");
    let names = ActixMetricsConfiguration::default()
        .labels(labels)
        .http_requests_total_name("requests_total")
        .http_requests_duration_seconds_name("requests_duration_seconds");
    PrometheusMetricsBuilder::new(NAMESPACE)
        .registry(registry)
        .buckets(BUCKETS)
        .metrics_configuration(names)
        .mask_unmatched_patterns("unmatched")
        .build()
        .map_err(|error| PlaneError(error.to_string()))
}
