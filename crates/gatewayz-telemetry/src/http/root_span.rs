//! The request's `tracing` span: tracing-actix-web opens it, and everything costly is left to the outcome.

use std::cell::Cell;
use std::sync::Arc;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use tracing::Span;
use tracing_actix_web::RootSpanBuilder;

thread_local! {
    /// Whether the request being handed to tracing-actix-web leaves no span.
    static SILENT: Cell<bool> = const { Cell::new(false) };
}

/// What events and child spans inside a request inherit from it.
#[derive(Debug)]
pub(crate) struct RequestHead {
    /// Path without query.
    pub(crate) endpoint: Arc<str>,
    pub(crate) method: &'static str,
    pub(crate) route: Option<Arc<str>>,
}

/// Opens a span without fields; the server span behind it has the attributes.
#[derive(Debug)]
pub struct RequestSpan;

impl RequestSpan {
    /// Runs `call` so that the request handed over in it opens no span.
    pub(crate) fn without<T>(call: impl FnOnce() -> T) -> T {
        SILENT.set(true);
        let called = call();
        SILENT.set(false);
        called
    }
}

impl RootSpanBuilder for RequestSpan {
    fn on_request_start(_request: &ServiceRequest) -> Span {
        if SILENT.replace(false) {
            return Span::none();
        }
        tracing::info_span!(target: "gatewayz::request", "request")
    }

    // The outcome is known at the last byte of the body, not here.
    fn on_request_end<B: MessageBody>(_span: Span, _outcome: &Result<ServiceResponse<B>, Error>) {}
}
