//! What a person at the terminal sees on stderr; stdout belongs to the log.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;

use gatewayz_admin_auth::DisabledReason;
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
    let is_local = service.environment == Environment::Local;
    let disabled = settings.admin.keys.disabled();
    let admin = match disabled {
        Some(DisabledReason::NotConfigured) => "closed: no ADMIN_API_KEY",
        Some(DisabledReason::PublishedKey) => "closed: its key is public, generate a new one",
        None if is_local => "with the admin key of deploy/env/local.env or yours",
        None => "with an admin key",
    };
    let url = format!("http://{address}");
    let users = if settings.server.demo_routes {
        format!("  curl {url}/api/users/1\n")
    } else {
        format!("  curl {url}/health\n")
    };
    let test = if is_local {
        format!("  curl -X POST {url}/api/metrics/test\n")
    } else if disabled.is_none() {
        format!("  curl -X POST -H \"Authorization: Bearer $ADMIN_API_KEY\" {url}/api/metrics/test\n")
    } else {
        String::new()
    };
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
{users}  curl {url}/metrics
{test}",
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
