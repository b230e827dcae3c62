//! What goes back to the client, in terms any web framework can send.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use bytes::Bytes;
use futures_util::{Stream, stream};
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
pub struct AnswerStream(Events);

type Events = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// Drops events whose poll panics while it does: dropped any later, the call would seem to have been cancelled.
struct Polled<'a>(&'a mut Events);

impl AnswerStream {
    pub(crate) fn new(events: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self(Box::pin(events))
    }
}

impl Stream for AnswerStream {
    /// A broken provider is told in band, as an error event.
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let events = Polled(&mut self.0);
        events.0.as_mut().poll_next(context).map(|bytes| bytes.map(Ok))
    }
}

impl Drop for Polled<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            *self.0 = Box::pin(stream::empty());
        }
    }
}

impl fmt::Debug for AnswerStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AnswerStream")
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures_util::{FutureExt, StreamExt};

    use super::*;

    struct Call(Arc<AtomicBool>);

    impl Drop for Call {
        fn drop(&mut self) {
            self.0.store(thread::panicking(), Ordering::Relaxed);
        }
    }

    #[test]
    fn a_call_whose_stream_panics_is_dropped_by_the_panic() {
        let by_panic = Arc::new(AtomicBool::new(false));
        let call = Call(Arc::clone(&by_panic));
        let panicking = stream::poll_fn(move |_: &mut Context<'_>| -> Poll<Option<Bytes>> {
            panic!("{}", call.0.load(Ordering::Relaxed))
        });
        let mut answer = AnswerStream::new(panicking);

        let caught = catch_unwind(AssertUnwindSafe(|| answer.next().now_or_never()));

        assert!(caught.is_err() && by_panic.load(Ordering::Relaxed));
        assert_eq!(answer.next().now_or_never(), Some(None));
    }
}
