//! `LOG_FORMAT=bunyan`: lines for teams with bunyan tooling, through the same bounded stdout sink.

use std::io;

use gatewayz_delivery::Severity;
use tracing::{Level, Metadata, Subscriber};
use tracing_bunyan_formatter::{BunyanFormattingLayer, JsonStorageLayer};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::registry::LookupSpan;

use crate::clock::unix_nanos_now;
use crate::layer::severity;
use crate::stdout::{Line, Lines};

/// Layers that write each event as one bunyan record.
///
/// Records of span starts and ends are left out: one request leaves one line.
pub fn layers<S>(service: String, lines: Lines) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method's lifetime is not general enough"
    )]
    let events = filter_fn(|metadata| metadata.is_event());
    let formatting = BunyanFormattingLayer::new(
        service,
        Writer {
            lines,
            level: Level::INFO,
            severity: Severity::Info,
        },
    );
    JsonStorageLayer.and_then(formatting.with_filter(events))
}

/// Hands each formatted record to the lines' sinks.
#[derive(Debug, Clone)]
struct Writer {
    lines: Lines,
    level: Level,
    severity: Severity,
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self {
        Self {
            lines: self.lines.clone(),
            level: *metadata.level(),
            severity: severity(*metadata.level(), metadata.target()),
        }
    }
}

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lines.write_stdout(&Line {
            bytes,
            unix_nanos: unix_nanos_now(),
            level: self.level,
            severity: self.severity,
            ids: None,
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
