//! The request's body on its way in: how long it is, and when it may be let go.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::HttpMessage;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::Bytes;
use futures_util::Stream;

/// The length of a request's body: announced, or counted while it is read.
pub(crate) enum CountedPayload {
    /// From `Content-Length`; 0 without a body.
    Announced(u64),
    /// Of a body that comes in chunks.
    Counted(Rc<Chunked>),
}

/// A body without an announced end.
pub(crate) struct Chunked {
    read: Cell<u64>,
    /// Held until the answer's last byte: actix-http closes the connection of a body that is still there then, but
    /// goes on reading one that was dropped, for ever if the client wants it.
    payload: RefCell<Payload>,
}

impl CountedPayload {
    /// Takes the place of the payload of a request whose body comes in chunks.
    pub(crate) fn of(request: &mut ServiceRequest) -> Self {
        if matches!(request.parts().1, Payload::None) {
            return Self::Announced(0);
        }
        if let Some(length) = request.headers().get(CONTENT_LENGTH) {
            let length = length.to_str().ok().and_then(|text| text.parse().ok());
            return Self::Announced(length.unwrap_or(0));
        }
        let payload = RefCell::new(request.take_payload());
        let chunked = Rc::new(Chunked {
            read: Cell::new(0),
            payload,
        });
        request.set_payload(Payload::Stream {
            payload: Box::pin(Reading(Rc::clone(&chunked))),
        });
        Self::Counted(chunked)
    }

    /// Bytes of the body, as far as it was read.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Announced(length) => *length,
            Self::Counted(chunked) => chunked.read.get(),
        }
    }
}

struct Reading(Rc<Chunked>);

impl Stream for Reading {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut *self.0.payload.borrow_mut()).poll_next(context);
        if let Poll::Ready(Some(Ok(part))) = &polled {
            self.0.read.set(self.0.read.get() + part.len() as u64);
        }
        polled
    }
}
