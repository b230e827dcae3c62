//! The next piece of a provider's answer, within its limits of time.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, future};
use tokio::sync::watch;
use tokio::time::{Sleep, sleep_until};

use super::StreamSettings;
use crate::failure::{Failure, Limit};
use crate::provider::IncomingBody;

/// What came of waiting.
pub(super) enum Pulled {
    Chunk(Bytes),
    /// Nothing, for so long that the client is told that the stream goes on.
    Silence,
    End,
    Failed(Failure),
}

/// The limits of one stream, and how far it is with them.
pub(super) struct Patience {
    idle: Duration,
    deadline: Instant,
    keep_alive: Option<Duration>,
    end: watch::Receiver<Option<Instant>>,
    end_is_set: BoxFuture<'static, ()>,
    alarm: Alarm,
    /// How long the provider has been waited for since its last piece. A slow client does not count.
    silence: Duration,
    /// Since when the next piece is waited for; `None` while nobody asks for it.
    waiting: Option<Instant>,
}

impl Patience {
    pub(super) fn new(settings: &StreamSettings) -> Self {
        Self {
            idle: settings.idle,
            deadline: settings.deadline,
            keep_alive: settings.keep_alive,
            end: settings.end.clone(),
            end_is_set: set(settings.end.clone()),
            alarm: Alarm::new(settings.deadline),
            silence: Duration::ZERO,
            waiting: None,
        }
    }

    /// Waits for the next piece of `body`.
    pub(super) fn poll_pull(&mut self, body: &mut IncomingBody, context: &mut Context<'_>) -> Poll<Pulled> {
        let since = *self.waiting.get_or_insert_with(Instant::now);
        let pulled = ready!(self.poll(since, body, context));
        self.waiting = None;
        match pulled {
            Pulled::Silence => self.silence += since.elapsed(),
            Pulled::Chunk(_) | Pulled::End | Pulled::Failed(_) => self.silence = Duration::ZERO,
        }
        Poll::Ready(pulled)
    }

    fn poll(&mut self, since: Instant, body: &mut IncomingBody, context: &mut Context<'_>) -> Poll<Pulled> {
        let (mut end, mut why) = self.end(since);
        // A time limit is not looked at while there is always something to read.
        if since >= end {
            return Poll::Ready(Pulled::Failed(why));
        }
        // Nothing is lost when the future is dropped.
        if let Poll::Ready(chunk) = pin!(body.chunk()).poll(context) {
            return Poll::Ready(match chunk {
                Ok(Some(chunk)) => Pulled::Chunk(chunk),
                Ok(None) => Pulled::End,
                Err(failure) => Pulled::Failed(failure),
            });
        }
        while self.end_is_set.poll_unpin(context).is_ready() {
            self.end_is_set = set(self.end.clone());
            (end, why) = self.end(since);
        }
        let comment = self.keep_alive.map(|after| since + after);
        match comment.filter(|at| *at < end) {
            Some(at) => self.alarm.poll(at, context).map(|()| Pulled::Silence),
            None => self.alarm.poll(end, context).map(|()| Pulled::Failed(why)),
        }
    }

    /// When the stream ends if nothing comes after `since`, and why.
    fn end(&mut self, since: Instant) -> (Instant, Failure) {
        let idle_end = since + self.idle.saturating_sub(self.silence);
        let (end, limit) = if idle_end < self.deadline {
            (idle_end, Limit::Idle)
        } else {
            (self.deadline, Limit::Total)
        };
        match *self.end.borrow_and_update() {
            Some(shutdown) if shutdown <= end => (shutdown, Failure::ShuttingDown),
            Some(_) | None => (end, Failure::Timeout(limit)),
        }
    }
}

/// Waits until the end of all streams is set anew.
fn set(mut end: watch::Receiver<Option<Instant>>) -> BoxFuture<'static, ()> {
    async move {
        // Without a gateway nobody sets it.
        if end.changed().await.is_err() {
            future::pending::<()>().await;
        }
    }
    .boxed()
}

/// A timer that is only moved when it goes off too early or would go off too late: the time of a stream's end moves
/// with each piece, and moving the timer as often would cost more than reading the piece.
struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    fn new(at: Instant) -> Self {
        Self(Box::pin(sleep_until(at.into())))
    }

    fn poll(&mut self, at: Instant, context: &mut Context<'_>) -> Poll<()> {
        if self.0.deadline().into_std() > at {
            self.0.as_mut().reset(at.into());
        }
        loop {
            ready!(self.0.as_mut().poll(context));
            if self.0.deadline().into_std() >= at {
                return Poll::Ready(());
            }
            self.0.as_mut().reset(at.into());
        }
    }
}
