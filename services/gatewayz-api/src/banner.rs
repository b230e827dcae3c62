//! What a person at the terminal sees on stderr; stdout belongs to the log.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;

use gatewayz_config::redacted_url;
use gatewayz_telemetry::ShutdownReport;

use crate::settings::{Environment, Settings};
use crate::state::VERSION;

/// Tells version, environment, where each signal goes, what is open, and what to try.
///
/// # Errors
/// When stderr cannot be written.
pub fn greeting(settings: &Settings, address: SocketAddr) -> io::Result<()> {
    let service = &settings.service;
    let traces = match &settings.traces.export {
        Some(export) => format!(
            "OTLP {} to {}",
            export.protocol.as_str(),
            redacted_url(&export.endpoint)
        ),
        None if settings.traces.recording => "ids only; set TEMPO_OTLP_GRPC_ENDPOINT to export".to_owned(),
        None => "off (OTEL_SDK_DISABLED)".to_owned(),
    };
    let loki = match &settings.loki.push {
        Some(push) => format!("JSON on stdout, pushed to {}", redacted_url(&push.url)),
        None => format!("{} on stdout", settings.log.format.as_str()),
    };
    let metrics = if settings.metrics.token.is_some() {
        "with METRICS_TOKEN"
    } else {
        "open"
    };
    let admin = match (
        settings.admin.keys.len() + settings.admin.key_digests.len(),
        service.environment,
    ) {
        (0, _) => "closed: no ADMIN_API_KEY",
        (_, Environment::Local) => "with the admin key of deploy/env/local.env or yours",
        (_, Environment::Staging | Environment::Production) => "with an admin key",
    };
    let url = format!("http://{address}");
    let (bold, plain) = if io::stderr().is_terminal() {
        ("\x1b[1m", "\x1b[0m")
    } else {
        ("", "")
    };
    write!(
        io::stderr(),
        "{bold}{name} {VERSION}{plain} ({environment}) on {bold}{url}{plain}
  metrics  {url}/metrics
  logs     {loki}
  traces   {traces}
  /metrics {metrics}; /api/instrumentation/* {admin}; {url}/docs open
Try:
  curl {url}/api/users/1
  curl {url}/metrics
  curl -X POST {url}/api/metrics/test
",
        name = service.service_name,
        environment = service.environment.as_str(),
    )
}

/// Tells what could not be delivered; nothing when everything was.
///
/// # Errors
/// When stderr cannot be written.
pub fn farewell(report: &ShutdownReport) -> io::Result<()> {
    let mut stderr = io::stderr();
    for (exporter, status) in &report.exporters {
        if status.lost_total() > 0 {
            write!(
                stderr,
                "{exporter}: {} of {} records delivered; lost:",
                status.delivered, status.created
            )?;
            for (reason, count) in status.losses() {
                write!(stderr, " {count} {}", reason.as_str())?;
            }
            writeln!(stderr)?;
        }
    }
    Ok(())
}
