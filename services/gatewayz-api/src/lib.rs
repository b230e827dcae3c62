//! The gatewayz-api service: settings, wiring, routes and error mapping over the telemetry crates.

pub mod banner;
pub mod cli;
pub mod dashboards;
pub mod endpoints;
pub mod file_limits;
pub mod health_check;
pub mod json;
pub mod limits;
pub mod openai;
pub mod openapi;
pub mod plane;
pub mod problem;
pub mod queries;
pub mod reload;
pub mod routes;
pub mod server;
pub mod settings;
pub mod state;
pub mod wiring;

use gatewayz_metrics::Family;

/// Every metric family of the service with the heading it stands under in docs/METRICS.md.
pub const METRIC_GROUPS: &[&[(&str, &[Family])]] = &[
    gatewayz_telemetry::FAMILIES,
    &[
        ("Inference", gatewayz_inference::FAMILIES),
        ("Admin endpoints", wiring::FAMILIES),
        ("Instrumentation plane", plane::FAMILIES),
    ],
];
