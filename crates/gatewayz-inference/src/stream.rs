//! A streamed answer on its way through: forwarded as it came, read in passing, ended honestly.

mod opened;
mod pull;

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, Stream};
use secrecy::SecretString;
use tokio::sync::watch;

use crate::answer::AnswerStream;
use crate::attempt::Attempt;
use crate::cache::Keeping;
use crate::error::ErrorObject;
use crate::failure::Failure;
use crate::outcome::{Pending, Status};
use crate::pricing::Tokens;
use crate::provider::IncomingBody;
use crate::scrub;
use crate::sse::{Event, TooLong};
use opened::Fate;
pub(crate) use opened::Opened;
use pull::{Patience, Pulled};

const DONE: &[u8] = b"data: [DONE]\n\n";
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";
/// How long a connection may take to end its body after `[DONE]`, to be used again.
const DRAIN: Duration = Duration::from_secs(1);

/// What the rest of the stream needs.
pub(crate) struct StreamSettings {
    /// Between two pieces.
    pub(crate) idle: Duration,
    pub(crate) deadline: Instant,
    /// Silence after which a comment is sent; `None` for never.
    pub(crate) keep_alive: Option<Duration>,
    /// When the gateway ends all streams; `None` while the service runs.
    pub(crate) end: watch::Receiver<Option<Instant>>,
    /// Bytes of the request, for an estimate where usage is missing.
    pub(crate) request_bytes: usize,
}

/// The call behind the stream, until it is over.
struct Live {
    pending: Pending,
    attempt: Attempt,
    keeping: Option<Keeping>,
}

struct Tap {
    opened: Box<Opened>,
    patience: Patience,
    request_bytes: usize,
    /// `None` once the call is over.
    live: Option<Live>,
}

impl Opened {
    /// The rest of the stream, for the client.
    pub(crate) fn into_answer(
        self: Box<Self>,
        settings: &StreamSettings,
        pending: Pending,
        attempt: Attempt,
        keeping: Option<Keeping>,
    ) -> AnswerStream {
        let live = Live {
            pending,
            attempt,
            keeping,
        };
        let mut tap = Tap {
            opened: self,
            patience: Patience::new(settings),
            request_bytes: settings.request_bytes,
            live: Some(live),
        };
        tap.note_first_token();
        AnswerStream::new(tap)
    }
}

impl Stream for Tap {
    type Item = Bytes;

    /// The next bytes for the client.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let tap = &mut *self;
        loop {
            tap.read_events();
            if let Some(bytes) = tap.take_ready() {
                return Poll::Ready(Some(bytes));
            }
            if tap.live.is_none() {
                return Poll::Ready(None);
            }
            match ready!(tap.patience.poll_pull(&mut tap.opened.body, context)) {
                Pulled::Chunk(chunk) => tap.opened.decoder.feed(&chunk),
                Pulled::Silence => return Poll::Ready(Some(Bytes::from_static(KEEP_ALIVE))),
                Pulled::End => tap.provider_ended(),
                Pulled::Failed(failure) => tap.broke(&failure),
            }
        }
    }
}

impl Tap {
    fn read_events(&mut self) {
        while self.live.is_some() {
            match self.opened.decoder.next_event() {
                Ok(Some(event)) => self.take(event),
                Ok(None) => return,
                Err(TooLong) => self.broke(&Failure::TooLarge),
            }
        }
    }

    fn take(&mut self, event: Event) {
        let fate = self.opened.fate(&event);
        if let Fate::Broken(failure) = fate {
            return self.broke(&failure);
        }
        self.opened.pass(event, &fate);
        self.note_first_token();
        if let Fate::Done = fate {
            self.succeeded();
            self.drain();
        }
    }

    fn note_first_token(&mut self) {
        if self.opened.reading.has_output
            && let Some(live) = &mut self.live
        {
            live.pending.first_token();
        }
    }

    fn take_ready(&mut self) -> Option<Bytes> {
        let ready = &mut self.opened.ready;
        if ready.len() <= 1 {
            return ready.pop();
        }
        let mut joined = BytesMut::with_capacity(ready.iter().map(Bytes::len).sum());
        for bytes in ready.drain(..) {
            joined.extend_from_slice(&bytes);
        }
        Some(joined.freeze())
    }

    /// The provider closed its stream without `[DONE]`.
    fn provider_ended(&mut self) {
        if let Ok(Some(event)) = self.opened.decoder.finish() {
            let fate = self.opened.fate(&event);
            self.opened.pass(event, &fate);
            match fate {
                Fate::Done => return self.succeeded(),
                Fate::Broken(failure @ Failure::ErrorInside(_)) => return self.broke(&failure),
                // Half an event is no garbage but a stream cut short.
                Fate::Broken(_) | Fate::Comment | Fate::Part | Fate::Usage => {}
            }
        }
        if self.opened.reading.is_complete() {
            self.opened.ready.push(Bytes::from_static(DONE));
            self.succeeded();
        } else {
            self.broke(&Failure::Truncated);
        }
    }

    fn succeeded(&mut self) {
        let Some(Live {
            mut pending,
            attempt,
            keeping,
        }) = self.live.take()
        else {
            return;
        };
        self.settle(&mut pending, &attempt);
        if let (Some(keeping), Some(recorder)) = (keeping, self.opened.recorder.take()) {
            keeping.stream(recorder, &self.opened.reading, &attempt.candidate.metrics);
        }
        attempt.succeeded(&self.opened.reading);
        pending.finish(Status::Success, None);
    }

    /// Tells the client in band: both official SDKs take a clean end for success.
    fn broke(&mut self, failure: &Failure) {
        let Some(Live {
            mut pending,
            attempt,
            keeping,
        }) = self.live.take()
        else {
            return;
        };
        if let Some(keeping) = keeping {
            keeping.not_kept();
        }
        // A connection that broke has cut the stream, whoever is to blame.
        let status = match failure {
            Failure::Transport => Status::Truncated,
            other => other.status(),
        };
        let key = attempt.candidate.provider.backend.key();
        self.opened.ready.push(error_event(failure, status, key));
        self.settle(&mut pending, &attempt);
        attempt.broke(failure, &self.opened.reading);
        pending.finish(status, Some(failure.kind()));
    }

    fn settle(&self, pending: &mut Pending, attempt: &Attempt) {
        let reading = &self.opened.reading;
        pending.finish_reason(reading.finish_reason);
        match reading.tokens {
            Some(tokens) => pending.used(tokens, &attempt.candidate.prices),
            None => pending.estimated(Tokens {
                input: estimated_tokens(self.request_bytes),
                cached: 0,
                output: reading.output_parts,
            }),
        }
    }

    /// Reads the end of the body, which comes with `[DONE]` or right after it: a connection whose body was not
    /// read to its end cannot be used again.
    fn drain(&mut self) {
        if let Some(Ok(None)) = self.opened.body.chunk().now_or_never() {
            return;
        }
        let body = std::mem::replace(&mut self.opened.body, IncomingBody::ended());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(DRAIN, drain(body)));
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        // The client has left, or a panic ended the stream; dropping the call tells which.
        if let Some(Live {
            mut pending, attempt, ..
        }) = self.live.take()
        {
            self.settle(&mut pending, &attempt);
        }
    }
}

/// The usual rule of thumb: four bytes a token.
pub(crate) fn estimated_tokens(bytes: usize) -> u64 {
    u64::try_from(bytes / 4).unwrap_or(u64::MAX)
}

async fn drain(mut body: IncomingBody) {
    let mut left: usize = 64 * 1024;
    while let Ok(Some(chunk)) = body.chunk().await {
        left = left.saturating_sub(chunk.len());
        if left == 0 {
            return;
        }
    }
}

fn error_event(failure: &Failure, status: Status, key: Option<&SecretString>) -> Bytes {
    let (message, kind, code) = match (failure, status) {
        (Failure::ShuttingDown, _) => (
            "The gateway is shutting down.",
            "server_error",
            "server_shutting_down",
        ),
        (_, Status::Timeout) => (
            "The provider stopped answering in time.",
            "timeout_error",
            "upstream_timeout",
        ),
        (_, Status::Truncated) => (
            "The provider ended the stream before its answer was complete.",
            "server_error",
            "upstream_stream_truncated",
        ),
        (_, Status::Success | Status::Error | Status::Cancelled) => (
            "The provider failed in the middle of its answer.",
            "server_error",
            "upstream_error",
        ),
    };
    let object = ErrorObject {
        message,
        r#type: kind,
        param: None,
        code: Some(code),
    };
    let body = match failure {
        Failure::ErrorInside(said) => scrub::error_body(said, &object, key),
        _ => object.to_body(),
    };
    [b"data: ", body.as_slice(), b"\n\n"].concat().into()
}
