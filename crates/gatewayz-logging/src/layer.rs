//! The `tracing` layer that turns events into lines, and the request line's way in.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::sync::Arc;

use gatewayz_delivery::Severity;
use tracing::field::Visit;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{Extensions, LookupSpan};

use crate::clock::unix_nanos_now;
use crate::endpoint::Endpoint;
use crate::fields::{Fields, Inherited, SpanFields};
use crate::ids::SpanIds;
use crate::level::LevelHandle;
use crate::line::{EventLine, Format, LineEncoder, PreparedEventLine, PreparedRequestLine, RequestLine};
use crate::pretty;
use crate::stdout::{Line, Lines};
use crate::storm::{Pass, StormLimit, callsite, log_callsite};
use crate::target::Target;

/// Events of this target are neither filtered nor shed.
pub(crate) const AUDIT_TARGET: &str = "gatewayz::audit";
/// Target of all events that `tracing-log` makes of records of the `log` crate.
const LOG_TARGET: &str = "log";
/// The request line's target; its event exists only for the bunyan format.
pub(crate) const REQUEST_TARGET: &str = "gatewayz::request";

/// What a line inherits from the spans around its event.
#[derive(Debug, Default)]
pub struct SpanFacts {
    /// Ids of the innermost span.
    pub ids: Option<SpanIds>,
    /// The request being served.
    pub request: Option<RequestFacts>,
}

/// What a line says of the request around its event.
#[derive(Debug, Clone)]
pub struct RequestFacts {
    /// Its path.
    pub endpoint: Endpoint,
    /// What is known from its route and method.
    pub prepared: PreparedEventLine,
}

/// Where lines learn of the spans around them.
#[derive(Debug, Clone, Copy)]
pub struct FactSource {
    /// Reads what one span's extensions know; called leaf first.
    pub of_span: fn(&Extensions<'_>, &mut SpanFacts),
    /// Reads what is known of the current thread, where no span is entered.
    pub of_thread: fn(&mut SpanFacts),
}

/// Writes each enabled event as one line, with the fields of the spans around it.
///
/// It also decides which callsites are enabled at all: spans at INFO and above, events by the levels in force.
#[derive(Debug, Clone)]
pub struct LogLayer {
    encoder: LineEncoder,
    format: Format,
    levels: LevelHandle,
    lines: Lines,
    facts: FactSource,
    storms: Option<Arc<StormLimit>>,
}

impl LogLayer {
    /// A layer whose lines carry no ids; add them with [`Self::with_facts`].
    #[must_use]
    pub fn new(encoder: LineEncoder, format: Format, levels: LevelHandle, lines: Lines) -> Self {
        Self {
            encoder,
            format,
            levels,
            lines,
            facts: FactSource {
                of_span: |_, _| {},
                of_thread: |_| {},
            },
            storms: None,
        }
    }

    /// Leaves out what one callsite writes beyond `per_second` events, counted and told by its next line.
    ///
    /// Requests' lines and audit events are never left out.
    #[must_use]
    pub fn with_storm_limit(mut self, per_second: NonZeroU32) -> Self {
        self.storms = Some(Arc::new(StormLimit::new(per_second)));
        self
    }

    /// Events left out by the storm limit so far; 0 without one.
    #[must_use]
    pub fn suppressed(&self) -> u64 {
        self.storms.as_ref().map_or(0, |storms| storms.suppressed())
    }

    /// Takes ids and request facts from `facts`.
    #[must_use]
    pub fn with_facts(mut self, facts: FactSource) -> Self {
        self.facts = facts;
        self
    }

    /// The encoder, to prepare request lines with.
    #[must_use]
    pub fn encoder(&self) -> &LineEncoder {
        &self.encoder
    }

    /// The lines it writes to.
    #[must_use]
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Writes a finished request's line. It is subject to the levels in force like any event.
    ///
    /// `ids` are those of `request`, for sinks that want them beside the text.
    pub fn write_request(
        &self,
        prepared: &PreparedRequestLine,
        method: &str,
        status_code: u16,
        request: &RequestLine<'_>,
        ids: SpanIds,
    ) {
        if !self.levels.request_enabled(prepared.level) {
            return;
        }
        if self.format == Format::Bunyan {
            emit_request_event(prepared, method, status_code, request);
        }
        let (level, severity) = (prepared.level, severity(prepared.level, REQUEST_TARGET));
        self.write(
            (level, severity),
            |bytes| Line {
                bytes,
                unix_nanos: request.unix_nanos,
                level,
                severity,
                ids: Some(ids),
            },
            |out| self.encoder.write_request(prepared, request, out),
            |out| pretty::write_request(prepared, method, status_code, request, out),
        );
    }

    /// Sends one line to stdout in its format and to the other sinks as JSON.
    fn write(
        &self,
        (level, severity): (Level, Severity),
        line: impl Fn(&[u8]) -> Line<'_>,
        json: impl FnOnce(&mut Vec<u8>),
        pretty: impl FnOnce(&mut Vec<u8>),
    ) {
        if self.format == Format::Json && !self.lines.has_others() {
            self.lines.write_stdout_with(level, severity, json);
            return;
        }
        if self.format == Format::Pretty {
            with_scratch(pretty, |bytes| self.lines.write_stdout(&line(bytes)));
        }
        if self.format == Format::Json || self.lines.has_others() {
            with_scratch(json, |bytes| {
                let line = line(bytes);
                if self.format == Format::Json {
                    self.lines.write_stdout(&line);
                }
                self.lines.write_others(&line);
            });
        }
    }
}

fn emit_request_event(
    prepared: &PreparedRequestLine,
    method: &str,
    status_code: u16,
    request: &RequestLine<'_>,
) {
    let trace_id = str::from_utf8(request.trace_id).unwrap_or_default();
    let span_id = str::from_utf8(request.span_id).unwrap_or_default();
    let duration_ms = request.duration_nanos as f64 / 1e6;
    let endpoint = request.endpoint.shown();
    let (exception_type, exception_message) = request.exception.unzip();
    macro_rules! emit {
            ($level:expr) => {
                tracing::event!(
                    target: REQUEST_TARGET,
                    $level,
                    endpoint,
                    method,
                    status_code,
                    duration_ms,
                    trace_id,
                    span_id,
                    exception_type,
                    exception_message,
                    "{}",
                    prepared.message
                )
            };
        }
    match prepared.level {
        Level::ERROR => emit!(Level::ERROR),
        Level::WARN => emit!(Level::WARN),
        Level::INFO | Level::DEBUG | Level::TRACE => emit!(Level::INFO),
    }
}

impl<S> Layer<S> for LogLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // The levels' handle rebuilds this cache at every change, so a disabled callsite costs nothing.
        if self.levels.enabled(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        self.levels.enabled(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.levels.max_level())
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.is_empty() {
            return;
        }
        let mut fields = SpanFields::default();
        fields.extend(|visit: &mut dyn Visit| attributes.record(visit));
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        match extensions.get_mut::<SpanFields>() {
            Some(fields) => fields.extend(|visit| values.record(visit)),
            None => {
                let mut fields = SpanFields::default();
                fields.extend(|visit| values.record(visit));
                extensions.insert(fields);
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        self.write_event(event, |facts, inherited| {
            let mut is_inside = false;
            for span in context.event_scope(event).into_iter().flatten() {
                is_inside = true;
                let extensions = span.extensions();
                (self.facts.of_span)(&extensions, facts);
                if let Some(fields) = extensions.get::<SpanFields>() {
                    inherited.add(fields);
                }
            }
            if !is_inside {
                (self.facts.of_thread)(facts);
            }
        });
    }
}

impl LogLayer {
    /// Whether a callsite is enabled.
    #[must_use]
    pub fn is_enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.levels.enabled(metadata)
    }

    /// The loudest level in force.
    #[must_use]
    pub fn max_level(&self) -> LevelFilter {
        self.levels.max_level()
    }

    /// Writes an event as one line; `around` tells of the spans around it, the innermost first.
    pub fn write_event(&self, event: &Event<'_>, around: impl FnOnce(&mut SpanFacts, &mut Inherited<'_>)) {
        // Records of the `log` crate say in fields what other events say in their metadata.
        let is_of_log = event.metadata().target() == LOG_TARGET;
        let normalized = if is_of_log {
            event.normalized_metadata()
        } else {
            None
        };
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let bunyan = self.format == Format::Bunyan;
        if metadata.target() == REQUEST_TARGET || bunyan && !self.lines.has_others() {
            return;
        }
        // Records of the `log` crate share one callsite, so the filter has not seen their real target.
        if normalized.is_some() && !self.levels.enabled(metadata) {
            return;
        }
        let unix_nanos = unix_nanos_now();
        let suppressed = match &self.storms {
            Some(storms) if metadata.target() != AUDIT_TARGET => {
                let callsite = match &normalized {
                    Some(metadata) => log_callsite(metadata),
                    None => callsite(event.metadata()),
                };
                match storms.pass(callsite, unix_nanos) {
                    Pass::Suppressed => return,
                    Pass::Written { suppressed } => suppressed,
                }
            }
            Some(_) | None => 0,
        };
        Fields::lend(self.encoder.fields_max_bytes(), |fields| {
            event.record(fields);
            let mut facts = SpanFacts::default();
            around(&mut facts, &mut Inherited::to(fields));
            if fields.truncated > 0 {
                self.lines.count_truncated(fields.truncated);
            }
            self.write_line(&EventLine {
                unix_nanos,
                level: *metadata.level(),
                target: match &normalized {
                    Some(metadata) => Target::OfRecord(metadata.target()),
                    None => Target::OfEvent(event.metadata().target()),
                },
                facts: &facts,
                fields,
                suppressed,
            });
        });
    }

    fn write_line(&self, event: &EventLine<'_>) {
        let (level, severity) = (event.level, severity(event.level, event.target.text()));
        self.write(
            (level, severity),
            |bytes| Line {
                bytes,
                unix_nanos: event.unix_nanos,
                level,
                severity,
                ids: event.facts.ids,
            },
            |out| self.encoder.write_event(event, out),
            |out| pretty::write_event(event, out),
        );
    }
}

pub(crate) fn severity(level: Level, target: &str) -> Severity {
    if target == AUDIT_TARGET {
        return Severity::Audit;
    }
    match level {
        Level::ERROR => Severity::Error,
        Level::WARN => Severity::Warn,
        Level::INFO => Severity::Info,
        Level::DEBUG | Level::TRACE => Severity::Debug,
    }
}

/// Lends a buffer that is kept per thread. A line written while another is being written (a field's
/// `Debug` that logs) gets a buffer of its own.
fn with_scratch(write: impl FnOnce(&mut Vec<u8>), read: impl FnOnce(&[u8])) {
    thread_local!(static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) });
    // A thread that ends may have no buffer any more when its other thread-locals have something to say.
    let mut scratch = SCRATCH.try_with(Cell::take).unwrap_or_default();
    scratch.clear();
    write(&mut scratch);
    read(&scratch);
    let _gone = SCRATCH.try_with(|kept| kept.set(scratch));
}
