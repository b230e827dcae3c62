//! The delivery of each destination: its sink, its bounds, its figures.

use std::time::Duration;

use gatewayz_delivery::{Delivery, QueueSettings, RetryPolicy};
use gatewayz_logging::{REQUEST_LINE_MAX_BYTES, Stdout};
use gatewayz_loki::{LokiSink, record};
use gatewayz_metrics::Registry;
use gatewayz_tracing::otlp::OtlpSink;

use crate::self_metrics::{ExporterObserver, LOKI, OTLP, STDOUT};
use crate::settings::{ExportSettings, LogSettings, LokiExport};
use crate::start::StartError;

/// stdout is read by somebody who watches: a line waits this long for company.
const STDOUT_LINGER: Duration = Duration::from_millis(5);
/// Written in one go, so less than a pipe holds (64 KiB on Linux): the writer would wait for the reader inside of it. A
/// longer turn would hold up requests on a machine with one core.
const STDOUT_BATCH_BYTES: usize = 48 * 1024;
/// Part of the stdout buffer that only audit events may use.
const AUDIT_RESERVE_BYTES: usize = 512 * 1024;

pub(crate) fn deliver_stdout(log: &LogSettings, registry: &Registry) -> Result<Delivery, StartError> {
    let failed = |source| StartError::Delivery {
        signal: "stdout",
        source,
    };
    let queue = QueueSettings {
        capacity_bytes: log.stdout_buffer_bytes,
        audit_reserve_bytes: AUDIT_RESERVE_BYTES.min(log.stdout_buffer_bytes / 8),
        record_max_bytes: longest_line(log),
        batch_bytes: STDOUT_BATCH_BYTES,
        batch_max_bytes: 4 * STDOUT_BATCH_BYTES,
        linger: STDOUT_LINGER,
        ..QueueSettings::default()
    };
    let observer = ExporterObserver::new(registry, STDOUT)?;
    let sink = match &log.file {
        Some(file) => Stdout::to(file.try_clone().map_err(failed)?),
        None => Stdout::open().map_err(failed)?,
    };
    Delivery::spawn(
        STDOUT,
        sink,
        queue,
        RetryPolicy::default(),
        Some(Box::new(observer)),
    )
    .map_err(failed)
}

/// No line is longer; a queue with a smaller bound would lose whole lines.
fn longest_line(log: &LogSettings) -> usize {
    log.line_max_bytes.max(REQUEST_LINE_MAX_BYTES)
}

pub(crate) fn deliver_loki(
    export: &LokiExport,
    log: &LogSettings,
    registry: &Registry,
) -> Result<Delivery, StartError> {
    let observer = ExporterObserver::new(registry, LOKI)?;
    let sink = LokiSink::new(&export.loki)?;
    let queue = QueueSettings {
        record_max_bytes: longest_line(log) + record::HEAD_MAX_BYTES,
        ..export.queue
    };
    Delivery::spawn(LOKI, sink, queue, export.retry, Some(Box::new(observer))).map_err(|source| {
        StartError::Delivery {
            signal: "Loki",
            source,
        }
    })
}

pub(crate) fn deliver_otlp(
    export: &ExportSettings,
    resource: &[(String, String)],
    registry: &Registry,
) -> Result<Delivery, StartError> {
    let observer = ExporterObserver::new(registry, OTLP)?;
    let mut otlp = export.otlp.clone();
    otlp.resource = resource.to_vec();
    let sink = OtlpSink::new(&otlp)?;
    Delivery::spawn(OTLP, sink, export.queue, export.retry, Some(Box::new(observer))).map_err(|source| {
        StartError::Delivery {
            signal: "spans",
            source,
        }
    })
}
