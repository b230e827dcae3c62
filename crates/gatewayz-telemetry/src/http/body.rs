//! The response body on its way out: the request ends with its last byte.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::Error;
use actix_web::body::{BodySize, MessageBody};
use actix_web::error::ErrorInternalServerError;
use actix_web::web::Bytes;
use gatewayz_tracing::in_request;

use super::in_flight::InFlight;
use crate::outcome::{Exception, ExceptionKind};
use crate::panic::guarded;

/// Status of a request whose body broke off on our side.
const BROKEN_OFF: u16 = 500;

pin_project_lite::pin_project! {
    /// Watches a body and ends its request.
    pub struct ObservedBody<B> {
        #[pin]
        content: Content<B>,
        end: BodyEnd,
    }

    impl<B> PinnedDrop for ObservedBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // What a body says while it is dropped belongs to its request.
            if let Some(in_flight) = &mut this.end.in_flight
                && matches!(*this.content, Content::Parts { .. })
            {
                in_request(&mut in_flight.current, || {
                    this.content.set(Content::Whole { bytes: Bytes::new() });
                });
            }
        }
    }
}

pin_project_lite::pin_project! {
    #[project = ContentProjection]
    enum Content<B> {
        // Most bodies are: there is no code of others to be run with a guard for each of their parts.
        Whole { bytes: Bytes },
        Parts { #[pin] body: B },
    }
}

/// Ends the request when the body is dropped, complete or not.
pub(crate) struct BodyEnd {
    in_flight: Option<Box<InFlight>>,
    status_code: u16,
    size: BodySize,
    /// To HEAD is answered without the body, which may be read all the same.
    is_head: bool,
}

impl<B: MessageBody> ObservedBody<B> {
    /// `in_flight` is `None` for requests that leave no signal.
    pub(crate) fn new(body: B, status_code: u16, in_flight: Option<Box<InFlight>>) -> Self {
        let size = body.size();
        let content = match body.try_into_bytes() {
            Ok(bytes) => Content::Whole { bytes },
            Err(body) => Content::Parts { body },
        };
        let is_head = in_flight.as_ref().is_some_and(|in_flight| in_flight.is_head());
        Self {
            content,
            end: BodyEnd {
                in_flight,
                status_code,
                size,
                is_head,
            },
        }
    }
}

impl BodyEnd {
    /// Counts a part on its way; an empty one is the end.
    fn part(&mut self, bytes: Bytes) -> Option<Bytes> {
        if let Some(in_flight) = &mut self.in_flight {
            if !self.is_head {
                in_flight.bytes_out += bytes.len() as u64;
            }
            if bytes.is_empty() {
                in_flight.finish(self.status_code);
            }
        }
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Whether a connection need not ask for the end of it: every other body is asked until it says so, once there is
    /// room in front of the socket.
    fn ends_by_itself(&self) -> bool {
        self.is_head || matches!(self.size, BodySize::None | BodySize::Sized(0))
    }
}

impl Drop for BodyEnd {
    fn drop(&mut self) {
        if self.ends_by_itself()
            && let Some(in_flight) = &mut self.in_flight
        {
            in_flight.finish(self.status_code);
        }
    }
}

impl<B> MessageBody for ObservedBody<B>
where
    B: MessageBody,
    B::Error: Into<Error>,
{
    type Error = Error;

    fn size(&self) -> BodySize {
        self.end.size
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let this = self.project();
        let body = match this.content.project() {
            ContentProjection::Parts { body } => body,
            ContentProjection::Whole { bytes } => {
                return Poll::Ready(this.end.part(mem::take(bytes)).map(Ok));
            }
        };
        let Some(in_flight) = &mut this.end.in_flight else {
            return body.poll_next(context).map_err(Into::into);
        };
        let polled = in_request(&mut in_flight.current, || {
            guarded(|| catch_unwind(AssertUnwindSafe(|| body.poll_next(context))))
        });
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Some(Ok(bytes)))) => {
                if !this.end.is_head {
                    in_flight.bytes_out += bytes.len() as u64;
                }
                Poll::Ready(Some(Ok(bytes)))
            }
            Ok(Poll::Ready(Some(Err(error)))) => {
                let error: Error = error.into();
                let thrown = || Exception::of_error(ExceptionKind::Body, &error);
                in_flight.failed_by = Some(in_request(&mut in_flight.current, thrown));
                in_flight.finish(BROKEN_OFF);
                Poll::Ready(Some(Err(error)))
            }
            Ok(Poll::Ready(None)) => {
                in_flight.finish(this.end.status_code);
                Poll::Ready(None)
            }
            Err(exception) => {
                in_flight.failed_by = Some(exception);
                in_flight.finish(BROKEN_OFF);
                Poll::Ready(Some(Err(ErrorInternalServerError("the response broke off"))))
            }
        }
    }
}
