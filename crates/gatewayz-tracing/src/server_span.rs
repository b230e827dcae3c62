//! The span of one served request: ended by its outcome, not by the last clone of a handle.

use std::any::Any;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::trace::SpanKind;
use parking_lot::Mutex;
use tracing::Span;
use tracing::field::Visit;

use crate::attributes::{Attributes, FieldValue};
use crate::current::knows_requests;
use crate::encode::{self, StatusCode};
use crate::tracer::{SpanIdentity, Tracer};

thread_local! {
    /// The server span that the next `tracing` span opened on this thread stands for.
    static PENDING: Cell<Option<Arc<ServerSpan>>> = const { Cell::new(None) };
}

/// A request's span, shared by the middleware that made it and the `tracing` span that stands for it.
#[derive(Debug)]
pub struct ServerSpan<A: ?Sized = dyn Any + Send + Sync> {
    identity: SpanIdentity,
    recorded: Mutex<Attributes>,
    /// Whether there is something behind either lock; most requests end without a look.
    touched: AtomicBool,
    /// The `tracing` span that stands for it, once somebody asked. Its registry entry holds this server span, so
    /// the end must break the circle, and nobody may close it again.
    stand_in: Mutex<Option<Span>>,
    ended: AtomicBool,
    attachment: A,
}

/// Everything on a server span that is known from its method, route and status.
#[derive(Debug)]
pub struct PreparedServerSpan(Box<[u8]>);

/// What failed a request.
#[derive(Debug, Clone, Copy)]
pub struct Exception<'a> {
    /// A low-cardinality type, `exception.type`'s value.
    pub kind: &'static str,
    /// Text for a person.
    pub message: &'a str,
}

/// What a finished request adds to its prepared span.
#[derive(Debug, Clone, Copy)]
pub struct SpanEnd<'a> {
    /// When the request came.
    pub start_unix_nanos: u64,
    /// When it ended.
    pub end_unix_nanos: u64,
    /// The request's path without query.
    pub url_path: &'a str,
    /// What failed it; `None` when nothing was thrown.
    pub exception: Option<Exception<'a>>,
}

impl PreparedServerSpan {
    /// Encodes name, kind, status and the constant attributes after the HTTP semantic conventions 1.44.
    ///
    /// `route` is `None` for unmatched paths. 5xx sets `error.type` and the status; 4xx is the client's fault
    /// and leaves it unset.
    #[must_use]
    pub fn new(method: &str, route: Option<&str>, status_code: u16) -> Self {
        let verb = if method == "_OTHER" { "HTTP" } else { method };
        let mut out = Vec::with_capacity(256);
        match route {
            Some(route) => encode::kind_and_name(&SpanKind::Server, &format!("{verb} {route}"), &mut out),
            None => encode::kind_and_name(&SpanKind::Server, verb, &mut out),
        }
        encode::text_attribute("http.request.method", method, &mut out);
        if let Some(route) = route {
            encode::text_attribute("http.route", route, &mut out);
        }
        encode::text_attribute("url.scheme", "http", &mut out);
        encode::integer_attribute("http.response.status_code", i64::from(status_code), &mut out);
        if status_code >= 500 {
            encode::text_attribute("error.type", &status_code.to_string(), &mut out);
            encode::status(StatusCode::Error, "", &mut out);
        }
        Self(out.into())
    }
}

impl<A> ServerSpan<A> {
    pub(crate) fn new(identity: SpanIdentity, attachment: A) -> Arc<Self> {
        Arc::new(Self {
            identity,
            recorded: Mutex::default(),
            touched: AtomicBool::new(false),
            stand_in: Mutex::default(),
            ended: AtomicBool::new(false),
            attachment,
        })
    }

    /// What its maker attached.
    pub fn attachment(&self) -> &A {
        &self.attachment
    }
}

impl<A: ?Sized> ServerSpan<A> {
    /// Ends the span with its outcome and queues it for export.
    pub fn end(&self, tracer: &Tracer, prepared: &PreparedServerSpan, end: &SpanEnd<'_>) {
        // Of this thread and one that opens a stand-in, at least one sees what the other has stored.
        self.ended.store(true, Ordering::SeqCst);
        let touched = self.touched.load(Ordering::SeqCst);
        if touched {
            drop(self.stand_in.lock().take());
        }
        tracer.export(&self.identity, end.start_unix_nanos, end.end_unix_nanos, |out| {
            out.extend_from_slice(&prepared.0);
            encode::text_attribute("url.path", end.url_path, out);
            if touched {
                self.recorded.lock().write(out);
            }
            if let Some(exception) = end.exception {
                let attributes = [
                    ("exception.type", exception.kind),
                    ("exception.message", exception.message),
                ];
                encode::event("exception", end.end_unix_nanos, &attributes, out);
            }
        });
    }

    /// Its ids and flags.
    #[must_use]
    pub fn identity(&self) -> &SpanIdentity {
        &self.identity
    }

    /// Takes the fields that `record` visits as attributes.
    pub(crate) fn record(&self, record: impl FnOnce(&mut dyn Visit)) {
        let mut later = Attributes::default();
        record(&mut later);
        if !later.is_empty() {
            self.touched.store(true, Ordering::Release);
            self.recorded.lock().append(&later);
        }
    }

    /// Shows each field that was recorded to `look`.
    pub(crate) fn fields(&self, look: impl FnMut(&'static str, FieldValue<'_>)) {
        if self.touched.load(Ordering::Acquire) {
            self.recorded.lock().each(look);
        }
    }
}

impl ServerSpan {
    /// The attachment, if it is a `T`.
    #[must_use]
    pub fn attachment_as<T: 'static>(&self) -> Option<&T> {
        self.attachment.downcast_ref()
    }

    /// The `tracing` span that stands for it, opened on first demand.
    ///
    /// `None` after the end, and while another thread has a scoped subscriber: `tracing` hides every subscriber from code
    /// that runs inside one then, so the span would be nobody's.
    pub(crate) fn stand_in(self: &Arc<Self>) -> Option<Span> {
        let mut stand_in = self.stand_in.lock();
        if stand_in.is_none() {
            PENDING.set(Some(Arc::clone(self)));
            let span = tracing::info_span!(target: "gatewayz::request", parent: None, "request");
            PENDING.set(None);
            let is_ours = span.with_subscriber(|(_, dispatch)| knows_requests(dispatch));
            if is_ours != Some(true) {
                return None;
            }
            self.touched.store(true, Ordering::SeqCst);
            if self.ended.load(Ordering::SeqCst) {
                return None;
            }
            *stand_in = Some(span);
        }
        stand_in.clone()
    }

    pub(crate) fn take_pending() -> Option<Arc<Self>> {
        PENDING.try_with(Cell::take).ok().flatten()
    }
}
