//! What goes back to the client, in terms any web framework can send.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, StatusCode};

/// An answer to send.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// The content type and what else belongs to the answer.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
}

/// The body of an answer.
#[derive(Debug)]
pub enum Body {
    /// All of it.
    Bytes(Bytes),
    /// Server-sent events as they come.
    Stream(AnswerStream),
}

/// Server-sent events as they come. Pulls from the provider only when it is polled; dropping it before its end
/// cancels the provider's work and makes the call's outcome.
pub struct AnswerStream(Pin<Box<dyn Stream<Item = Bytes> + Send>>);

impl AnswerStream {
    pub(crate) fn new(events: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self(Box::pin(events))
    }
}

impl Stream for AnswerStream {
    /// A broken provider is told in band, as an error event.
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context).map(|bytes| bytes.map(Ok))
    }
}

impl fmt::Debug for AnswerStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AnswerStream")
    }
}
