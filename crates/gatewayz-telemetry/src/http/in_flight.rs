//! A request from its head to its outcome, and the one place where the outcome becomes three signals.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::dev::{Path, Url};
use actix_web::http::header::HeaderValue;
use gatewayz_logging::{LogLayer, RequestLine, hex_digits};
use gatewayz_metrics::{Exemplar, Registry};
use gatewayz_tracing::{Exception as SpanException, Moment, ServerSpan, SpanEnd, Tracer};

use super::handles::MethodHandles;
use super::head::RequestHead;
use super::payload::CountedPayload;
use super::worker::{InFlightCounts, Worker};
use crate::facts::ids_of;
use crate::outcome::{Exception, RequestOutcome};

/// Status of a request whose client left before the last byte.
pub(crate) const CLIENT_CLOSED: u16 = 499;

/// The signals' destinations, shared by all workers.
pub(crate) struct Recorder {
    pub(crate) app_name: String,
    pub(crate) registry: Registry,
    pub(crate) log: LogLayer,
    pub(crate) tracer: Tracer,
    pub(crate) silent_routes: Vec<&'static str>,
    /// Requests without an outcome.
    pub(crate) in_flight: InFlightCounts,
}

/// A request being served. It ends exactly once: by [`InFlight::finish`], or as 499 when it is dropped before.
pub(crate) struct InFlight {
    worker: Rc<Worker>,
    handles: Rc<MethodHandles>,
    /// Handles of the route that answered; `None` while it is the expected one.
    answered: Option<Rc<MethodHandles>>,
    span: Arc<ServerSpan<RequestHead>>,
    /// The same span, lent to the thread while the request is polled.
    pub(crate) current: Option<Arc<ServerSpan>>,
    trace_id_hex: [u8; 32],
    started: Moment,
    start_unix_nanos: u64,
    payload: CountedPayload,
    /// The caller's request id; the trace id stands in for it.
    pub(crate) request_id: Option<HeaderValue>,
    pub(crate) bytes_out: u64,
    /// What failed it; `None` while nothing was thrown.
    pub(crate) failed_by: Option<Exception>,
    finished: bool,
}

impl InFlight {
    /// Boxed, because an answer is moved often on its way out.
    pub(crate) fn begin(
        worker: Rc<Worker>,
        handles: Rc<MethodHandles>,
        span: Arc<ServerSpan<RequestHead>>,
        started: Moment,
        start_unix_nanos: u64,
        payload: CountedPayload,
        request_id: Option<HeaderValue>,
    ) -> Box<Self> {
        worker.began();
        if let Some(in_progress) = &handles.in_progress {
            in_progress.increment();
        }
        let current: Arc<ServerSpan> = Arc::<ServerSpan<RequestHead>>::clone(&span);
        Box::new(Self {
            worker,
            handles,
            answered: None,
            trace_id_hex: hex_digits(&span.identity().context.trace_id.to_bytes()),
            current: Some(current),
            span,
            started,
            start_unix_nanos,
            payload,
            request_id,
            bytes_out: 0,
            failed_by: None,
            finished: false,
        })
    }

    /// Whether the router took the expected route.
    pub(crate) fn expects(&self, path: &str, parameters: &Path<Url>) -> bool {
        let value_of = |name: &str| parameters.get(name);
        self.handles
            .shape
            .is_taken(path, parameters.segment_count(), value_of)
    }

    /// The template of the expected route.
    pub(crate) fn template(&self) -> Option<&str> {
        self.handles.template.as_deref()
    }

    /// Whether the answer goes out without its body.
    pub(crate) fn is_head(&self) -> bool {
        self.handles.method == "HEAD"
    }

    /// The request's path without query.
    pub(crate) fn path(&self) -> &str {
        self.span.attachment().facts.endpoint.path()
    }

    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Takes the route that answered, if it is not the expected one.
    pub(crate) fn routed(&mut self, request: &HttpRequest) {
        self.answered = self.worker.routes.learn(request, self);
    }

    /// The trace id in hexadecimal, for headers and lines.
    pub(crate) fn trace_id_hex(&self) -> &[u8; 32] {
        &self.trace_id_hex
    }

    pub(crate) fn finish(&mut self, status_code: u16) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let duration_nanos = Moment::now().nanos_since(self.started);
        let handles = self.answered.as_ref().unwrap_or(&self.handles);
        let outcome = RequestOutcome {
            method: handles.method,
            status_code,
            duration_nanos,
            end_unix_nanos: self.start_unix_nanos.saturating_add(duration_nanos),
            bytes_in: self.payload.bytes(),
            bytes_out: self.bytes_out,
            exception: self.failed_by.as_ref(),
        };
        self.record(&outcome, handles);
        self.worker.ended();
    }

    fn record(&self, outcome: &RequestOutcome<'_>, handles: &MethodHandles) {
        let recorder = &*self.worker.recorder;
        let prepared = handles.prepared(outcome.status_code, recorder);
        let identity = self.span.identity();
        let ids = ids_of(identity);

        let exemplar = identity.is_sampled().then_some(Exemplar {
            trace_id: ids.trace_id,
            span_id: Some(ids.span_id),
            timestamp_nanos: outcome.end_unix_nanos,
        });
        if let Some(in_progress) = &self.handles.in_progress {
            in_progress.decrement();
        }
        if let Some(requests) = &prepared.requests {
            requests.increment();
        }
        if let Some(duration) = &prepared.duration {
            duration.observe(outcome.duration_nanos, exemplar);
        }
        if let Some(request_size) = &handles.request_size {
            request_size.observe(outcome.bytes_in, None);
        }
        if let Some(response_size) = &handles.response_size {
            response_size.observe(outcome.bytes_out, None);
        }
        if let Some(exception) = outcome.exception
            && let Some(Some(exceptions)) = handles.exceptions.get(exception.kind as usize)
        {
            exceptions.increment();
        }

        let head = self.span.attachment();
        let endpoint = &head.facts.endpoint;
        let line = RequestLine {
            unix_nanos: outcome.end_unix_nanos,
            duration_nanos: outcome.duration_nanos,
            endpoint,
            trace_id: &self.trace_id_hex,
            span_id: &hex_digits(&ids.span_id),
            exception: outcome
                .exception
                .map(|exception| (exception.kind.as_str(), exception.message.as_str())),
            fields: head.fields.get().map(|fields| &**fields),
        };
        recorder
            .log
            .write_request(&prepared.line, outcome.method, outcome.status_code, &line, ids);

        let end = SpanEnd {
            start_unix_nanos: self.start_unix_nanos,
            end_unix_nanos: outcome.end_unix_nanos,
            url_path: endpoint.path(),
            exception: outcome.exception.map(|exception| SpanException {
                kind: exception.kind.as_str(),
                message: &exception.message,
            }),
        };
        self.span.end(&recorder.tracer, &prepared.span, &end);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.finish(CLIENT_CLOSED);
    }
}
