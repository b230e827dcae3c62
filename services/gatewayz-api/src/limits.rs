//! Bounds on what a request may bring, checked before anything reads it.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::EitherBody;
use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::error::{InternalError, PathError};
use actix_web::http::header::{
    ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::{Error, HttpRequest, HttpResponse};
use futures_util::future::Either;
use pin_project_lite::pin_project;

use crate::problem::Problem;
use crate::{openai, routes};

/// Longest request target, in bytes.
pub const URI_MAX_BYTES: usize = 8 * 1024;
/// Most bytes in all header names and values.
pub const HEAD_MAX_BYTES: usize = 32 * 1024;
/// Longest body.
pub const BODY_MAX_BYTES: usize = 1024 * 1024;
/// Longest time from the head of a request to the end of its body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// The middleware that refuses what is out of bounds.
#[derive(Debug, Clone, Copy)]
pub struct Limits;

impl<S, B> Transform<S, ServiceRequest> for Limits
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = LimitsService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(LimitsService { inner }))
    }
}

/// One worker's middleware.
#[derive(Debug)]
pub struct LimitsService<S> {
    inner: S,
}

impl<S, B> Service<ServiceRequest> for LimitsService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = Either<Ready<Result<Self::Response, Error>>, Within<S::Future>>;

    forward_ready!(inner);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        match violation(&request) {
            Some(problem) => Either::Left(ready(Ok(refuse(request, problem)))),
            None => {
                let has_body = !matches!(request.parts().1, Payload::None);
                let endless = has_body && request.headers().contains_key(TRANSFER_ENCODING);
                Either::Right(Within {
                    future: self.inner.call(request),
                    endless,
                })
            }
        }
    }
}

pin_project! {
    /// The answer to a request within the bounds.
    pub struct Within<F> {
        #[pin]
        future: F,
        // Whether the request's body has no announced end.
        endless: bool,
    }
}

impl<F, B> Future for Within<F>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
{
    type Output = Result<ServiceResponse<EitherBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let endless = *this.endless;
        this.future.poll(context).map_ok(|mut response| {
            let status = response.status();
            if status == StatusCode::REQUEST_TIMEOUT || endless && status.as_u16() >= 400 {
                leave_unread(response.response_mut());
            }
            response.map_into_left_body()
        })
    }
}

fn refuse<B>(request: ServiceRequest, problem: Problem) -> ServiceResponse<EitherBody<B>> {
    let mut response = problem.response_at(request.path());
    if problem.status == StatusCode::METHOD_NOT_ALLOWED
        && let Some(allow) = request
            .match_pattern()
            .and_then(|template| routes::allowed(&template))
    {
        response.headers_mut().insert(ALLOW, allow);
    }
    leave_unread(&mut response);
    request.into_response(response).map_into_right_body()
}

fn violation(request: &ServiceRequest) -> Option<Problem> {
    // actix-web-prom would take an unknown method as a label value.
    if !is_known(request.method()) {
        return Some(match request.match_pattern() {
            Some(_) => Problem::new(StatusCode::METHOD_NOT_ALLOWED, routes::METHOD_NOT_ALLOWED),
            None => routes::not_found(),
        });
    }
    let target = request
        .uri()
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    if target > URI_MAX_BYTES {
        return Some(Problem::new(
            StatusCode::URI_TOO_LONG,
            "The request target is longer than 8 KiB.",
        ));
    }
    let head: usize = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if head > HEAD_MAX_BYTES {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Some(Problem::new(
            status,
            "The request's headers are longer than 32 KiB.",
        ));
    }
    if matches!(request.parts().1, Payload::None) {
        return None;
    }
    // actix-http reads whatever follows such a head as its body, to the end of the connection.
    let is_upgrade = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    if request.headers().get_all(UPGRADE).any(is_upgrade) {
        return Some(Problem::new(
            StatusCode::BAD_REQUEST,
            "No connection is upgraded; send the request without Upgrade.",
        ));
    }
    let encoded = request
        .headers()
        .get_all(CONTENT_ENCODING)
        .any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if encoded {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Some(Problem::new(status, "Send the body without Content-Encoding."));
    }
    // Calls of models are longer, and have a bound of their own.
    let is_long = announced_length(request.headers()).is_some_and(|length| length > BODY_MAX_BYTES as u64);
    if is_long && !openai::speaks_openai(request.path()) {
        return Some(too_large());
    }
    None
}

/// Length of the body in bytes as the head tells it; `None` when it tells none that can be read.
pub fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Ends the connection after this answer: nobody reads the rest of the body, and the connection would take it in for
/// ever.
pub fn leave_unread<B>(response: &mut HttpResponse<B>) {
    response.head_mut().set_connection_type(ConnectionType::Close);
}

/// Whether RFC 9110 or RFC 5789 registers the method.
fn is_known(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PUT
            | Method::DELETE
            | Method::CONNECT
            | Method::OPTIONS
            | Method::TRACE
            | Method::PATCH
    )
}

/// The refusal of a body that is too long.
pub fn too_large() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "The request's body is longer than this endpoint takes.",
    )
}

/// Answers a path parameter that cannot be read.
pub fn path_error(error: PathError, request: &HttpRequest) -> Error {
    InternalError::from_response(error, routes::not_found().response_at(request.path())).into()
}
