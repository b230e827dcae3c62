//! The middleware around the whole application.

use std::future::{Future, Ready, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready as poll_ready};

use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::error::InternalError;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::web::Bytes;
use actix_web::{Error, HttpResponse};
use gatewayz_logging::{Endpoint, RequestFacts};
use gatewayz_tracing::{Moment, in_request, w3c};

use super::body::ObservedBody;
use super::head::RequestHead;
use super::in_flight::{InFlight, Recorder};
use super::method;
use super::payload::CountedPayload;
use super::worker::Worker;
use crate::outcome::{Exception, ExceptionKind};
use crate::panic::guarded;

/// Longest `x-request-id` that is taken over, in bytes.
const REQUEST_ID_MAX_BYTES: usize = 128;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// Makes the answer to a request that panicked, from the status, the request's path and the trace id in hexadecimal.
pub type ProblemPage = fn(StatusCode, &str, &str) -> HttpResponse;

/// The middleware: wrap the whole application in it, outside every other middleware.
///
/// Each request leaves one metric sample, one log line and one span, made from one outcome at its last byte, at
/// the client's leave (499), or at a panic (500). It answers a panic itself and adds `x-trace-id` and
/// `x-request-id` to every answer.
#[derive(Clone)]
pub struct RequestTelemetry {
    recorder: Arc<Recorder>,
    problem_page: ProblemPage,
}

impl RequestTelemetry {
    pub(crate) fn new(recorder: Arc<Recorder>) -> Self {
        Self {
            recorder,
            problem_page: |status, _path, _trace_id| HttpResponse::new(status),
        }
    }

    /// Answers a panic with this page instead of an empty 500.
    #[must_use]
    pub fn with_problem_page(mut self, problem_page: ProblemPage) -> Self {
        self.problem_page = problem_page;
        self
    }
}

impl<S, B> Transform<S, ServiceRequest> for RequestTelemetry
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    S::Future: 'static,
    B: MessageBody + 'static,
    B::Error: Into<Error>,
{
    type Response = ServiceResponse<ObservedBody<B>>;
    type Error = Error;
    type Transform = RequestTelemetryService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(RequestTelemetryService {
            inner: service,
            worker: Rc::new(Worker::new(Arc::clone(&self.recorder), self.problem_page)),
        }))
    }
}

/// One worker's middleware.
pub struct RequestTelemetryService<S> {
    inner: S,
    worker: Rc<Worker>,
}

impl<S, B> Service<ServiceRequest> for RequestTelemetryService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
    B::Error: Into<Error>,
{
    type Response = ServiceResponse<ObservedBody<B>>;
    type Error = Error;
    type Future = Answer<S::Future>;

    forward_ready!(inner);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let started = Moment::now();
        let start_unix_nanos = started.unix_nanos();
        let Worker { recorder, routes, .. } = &*self.worker;
        let route = routes.expect(&request, recorder);
        let method = request.method();
        // Only probes are silent: any other method there may be somebody else's traffic.
        let handles = if route.silent && matches!(*method, Method::GET | Method::HEAD) {
            None
        } else {
            route.method(method::index(method), recorder)
        };
        let Some(handles) = handles else {
            return Answer {
                called: called(|| self.inner.call(request)),
                in_flight: None,
            };
        };

        let request_id = request_id(request.headers());
        let payload = CountedPayload::of(&mut request);
        let head = RequestHead {
            facts: RequestFacts {
                endpoint: Endpoint::new(request.path()),
                prepared: handles.events.clone(),
            },
            fields: OnceLock::new(),
        };
        let parent = remote_parent(request.headers());
        let span = recorder.tracer.server_span(parent, started, head);
        let mut in_flight = InFlight::begin(
            Rc::clone(&self.worker),
            handles,
            span,
            started,
            start_unix_nanos,
            payload,
            request_id,
        );
        let called = in_request(&mut in_flight.current, || called(|| self.inner.call(request)));
        Answer {
            called,
            in_flight: Some(in_flight),
        }
    }
}

fn remote_parent(headers: &HeaderMap) -> Option<w3c::TraceContext> {
    let mut parents = headers.get_all(TRACEPARENT).map(HeaderValue::as_bytes).peekable();
    parents.peek()?;
    w3c::extract(parents, headers.get_all(TRACESTATE).map(HeaderValue::as_bytes))
}

/// Adds the ids to the head of an answer.
fn mark(in_flight: &mut InFlight, headers: &mut HeaderMap) {
    // One allocation for both headers, where a copied value would take a second one to be shared.
    let digits = Bytes::from_owner(*in_flight.trace_id_hex());
    let Ok(trace_id) = HeaderValue::from_maybe_shared(digits) else {
        return;
    };
    let request_id = in_flight.request_id.take().unwrap_or_else(|| trace_id.clone());
    headers.insert(X_TRACE_ID, trace_id);
    headers.insert(X_REQUEST_ID, request_id);
}

/// Ends the request with an answer that no later body can change.
fn fail(mut in_flight: Box<InFlight>, mut response: HttpResponse, exception: Option<Exception>) -> Error {
    mark(&mut in_flight, response.headers_mut());
    if let BodySize::Sized(length) = response.body().size()
        && !in_flight.is_head()
    {
        in_flight.bytes_out = length;
    }
    in_flight.failed_by = exception;
    in_flight.finish(response.status().as_u16());
    InternalError::from_response("answered by the request middleware", response).into()
}

pin_project_lite::pin_project! {
    /// Resolves to the observed answer.
    pub struct Answer<F> {
        #[pin]
        called: Called<F>,
        in_flight: Option<Box<InFlight>>,
    }

    impl<F> PinnedDrop for Answer<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // The client has left. What the handler says while it is dropped belongs to its request.
            if let Some(in_flight) = this.in_flight {
                in_request(&mut in_flight.current, || this.called.set(Called::Over));
            }
        }
    }
}

pin_project_lite::pin_project! {
    /// What calling the application came to.
    #[project = CalledProjection]
    enum Called<F> {
        Answering { #[pin] future: F },
        // Route guards and the first half of a middleware run within the call itself.
        Panicked { exception: Option<Exception> },
        Over,
    }
}

fn called<F>(call: impl FnOnce() -> F) -> Called<F> {
    match guarded(|| catch_unwind(AssertUnwindSafe(call))) {
        Ok(future) => Called::Answering { future },
        Err(exception) => Called::Panicked {
            exception: Some(exception),
        },
    }
}

impl<F, B> Future for Answer<F>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
    B: MessageBody,
    B::Error: Into<Error>,
{
    type Output = Result<ServiceResponse<ObservedBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let poll = || match this.called.project() {
            CalledProjection::Answering { future } => {
                guarded(|| catch_unwind(AssertUnwindSafe(|| future.poll(context))))
            }
            CalledProjection::Panicked { exception } => exception.take().map_or(Ok(Poll::Pending), Err),
            CalledProjection::Over => Ok(Poll::Pending),
        };
        let caught = match this.in_flight {
            Some(in_flight) => in_request(&mut in_flight.current, poll),
            None => poll(),
        };
        let result = match caught {
            Ok(polled) => poll_ready!(polled),
            Err(exception) => return Poll::Ready(Err(panicked(this.in_flight.take(), exception))),
        };
        let mut in_flight = this.in_flight.take();
        Poll::Ready(match result {
            Ok(mut response) => {
                let status_code = response.status().as_u16();
                if let Some(in_flight) = &mut in_flight {
                    mark(in_flight, response.headers_mut());
                    in_flight.routed(response.request());
                    if status_code >= 500 {
                        let thrown = || response.response().error().map(thrown);
                        in_flight.failed_by = in_request(&mut in_flight.current, thrown);
                    }
                }
                Ok(response.map_body(|_, body| ObservedBody::new(body, status_code, in_flight)))
            }
            Err(error) => Err(match in_flight {
                Some(in_flight) => refused(in_flight, &error),
                None => error,
            }),
        })
    }
}

/// An inner middleware gave up with an `Err`; it is answered and counted like any response.
fn refused(mut in_flight: Box<InFlight>, error: &Error) -> Error {
    let answer = || {
        let response = guarded(|| catch_unwind(AssertUnwindSafe(|| error.error_response())))?;
        let failed = response.status().is_server_error();
        Ok((response, failed.then(|| thrown(error))))
    };
    match in_request(&mut in_flight.current, answer) {
        Ok((response, exception)) => fail(in_flight, response, exception),
        Err(exception) => panicked(Some(in_flight), exception),
    }
}

fn thrown(error: &Error) -> Exception {
    Exception::of_error(ExceptionKind::Error, error)
}

fn panicked(in_flight: Option<Box<InFlight>>, exception: Exception) -> Error {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    match in_flight {
        Some(in_flight) => {
            let problem_page = in_flight.worker().problem_page;
            let trace_id = str::from_utf8(in_flight.trace_id_hex()).unwrap_or_default();
            let response = problem_page(status, in_flight.path(), trace_id);
            fail(in_flight, response, Some(exception))
        }
        // A silent route has no line of its own to tell it on.
        None => {
            tracing::error!(target: "gatewayz::panic", exception_type = exception.kind.as_str(), "Panic: {}", exception.message);
            InternalError::from_response("panic", HttpResponse::new(status)).into()
        }
    }
}

/// The caller's request id, if it can be repeated safely.
fn request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(X_REQUEST_ID)?;
    let sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    let bytes = value.as_bytes();
    (!bytes.is_empty() && bytes.len() <= REQUEST_ID_MAX_BYTES && bytes.iter().all(sane))
        .then(|| value.clone())
}
