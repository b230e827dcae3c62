//! The request's body on its way in: how much of it was read, and when it may be let go.

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

/// Counts a request's body while it is read: a length that is announced is only somebody's word.
pub(crate) struct CountedPayload(Option<Rc<Counted>>);

struct Counted {
    read: Cell<u64>,
    /// A body without an announced end, held until the answer's last byte: actix-http closes the connection of a body
    /// that is still there then, but goes on reading one that was dropped, for ever if the client wants it.
    held: RefCell<Payload>,
}

impl CountedPayload {
    /// Takes the place of a request's payload.
    pub(crate) fn of(request: &mut ServiceRequest) -> Self {
        if matches!(request.parts().1, Payload::None) {
            return Self(None);
        }
        let has_end = request.headers().contains_key(CONTENT_LENGTH);
        let payload = request.take_payload();
        let (held, own) = if has_end {
            (Payload::None, Some(payload))
        } else {
            (payload, None)
        };
        let counted = Rc::new(Counted {
            read: Cell::new(0),
            held: RefCell::new(held),
        });
        request.set_payload(Payload::Stream {
            payload: Box::pin(Reading {
                counted: Rc::clone(&counted),
                own,
            }),
        });
        Self(Some(counted))
    }

    /// Bytes of the body that were read.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |counted| counted.read.get())
    }
}

struct Reading {
    counted: Rc<Counted>,
    /// `None` for the one that is held.
    own: Option<Payload>,
}

impl Stream for Reading {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let polled = match &mut this.own {
            Some(payload) => Pin::new(payload).poll_next(context),
            None => Pin::new(&mut *this.counted.held.borrow_mut()).poll_next(context),
        };
        if let Poll::Ready(Some(Ok(part))) = &polled {
            let read = &this.counted.read;
            read.set(read.get() + part.len() as u64);
        }
        polled
    }
}
