//! A streamed answer on its way through: forwarded as it came, read in passing, ended honestly.

mod opened;

use std::future::pending;
use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use futures_util::{FutureExt, stream};
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::time::timeout_at;

use crate::answer::AnswerStream;
use crate::attempt::Attempt;
use crate::cache::Keeping;
use crate::error::ErrorObject;
use crate::failure::{Failure, Limit};
use crate::outcome::{Pending, Status};
use crate::pricing::Tokens;
use crate::provider::IncomingBody;
use crate::scrub;
use crate::sse::{Event, TooLong};
use opened::Fate;
pub(crate) use opened::Opened;

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
    settings: StreamSettings,
    /// `None` once the call is over.
    live: Option<Live>,
    /// How long the provider has been waited for since its last piece. A slow client does not count.
    silence: Duration,
}

enum Pulled {
    Chunk(Bytes),
    Silence,
    End,
    Failed(Failure),
}

impl Opened {
    /// The rest of the stream, for the client.
    pub(crate) fn into_answer(
        self: Box<Self>,
        settings: StreamSettings,
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
            settings,
            live: Some(live),
            silence: Duration::ZERO,
        };
        tap.note_first_token();
        AnswerStream::new(stream::unfold(tap, async |mut tap| {
            let bytes = tap.next().await?;
            Some((bytes, tap))
        }))
    }
}

impl Tap {
    /// The next bytes for the client.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.read_events();
            if let Some(bytes) = self.take_ready() {
                return Some(bytes);
            }
            self.live.as_ref()?;
            match self.pull().await {
                Pulled::Chunk(chunk) => self.opened.decoder.feed(&chunk),
                Pulled::Silence => return Some(Bytes::from_static(KEEP_ALIVE)),
                Pulled::End => self.provider_ended(),
                Pulled::Failed(failure) => self.broke(&failure),
            }
        }
    }

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

    async fn pull(&mut self) -> Pulled {
        loop {
            let now = Instant::now();
            let (end, why) = self.end(now);
            // A time limit is not looked at while there is always something to read.
            if now >= end {
                return Pulled::Failed(why);
            }
            let comment = self.settings.keep_alive.map(|after| now + after);
            let comment = comment.filter(|at| *at < end);
            let chunk = pin!(self.opened.body.chunk());
            let changed = pin!(changed(&mut self.settings.end));
            let next = timeout_at(comment.unwrap_or(end).into(), select(chunk, changed)).await;
            match next {
                Ok(Either::Left((Ok(Some(chunk)), _))) => {
                    self.silence = Duration::ZERO;
                    return Pulled::Chunk(chunk);
                }
                Ok(Either::Left((Ok(None), _))) => return Pulled::End,
                Ok(Either::Left((Err(failure), _))) => return Pulled::Failed(failure),
                Ok(Either::Right(_)) => self.silence += now.elapsed(),
                Err(_) if comment.is_some() => {
                    self.silence += now.elapsed();
                    return Pulled::Silence;
                }
                Err(_) => return Pulled::Failed(why),
            }
        }
    }

    /// When the stream ends if nothing comes, and why.
    fn end(&mut self, now: Instant) -> (Instant, Failure) {
        let idle_end = now + self.settings.idle.saturating_sub(self.silence);
        let deadline = self.settings.deadline;
        let (end, limit) = if idle_end < deadline {
            (idle_end, Limit::Idle)
        } else {
            (deadline, Limit::Total)
        };
        match *self.settings.end.borrow_and_update() {
            Some(shutdown) if shutdown <= end => (shutdown, Failure::ShuttingDown),
            Some(_) | None => (end, Failure::Timeout(limit)),
        }
    }

    /// The provider closed its stream without `[DONE]`.
    fn provider_ended(&mut self) {
        if let Ok(Some(event)) = self.opened.decoder.finish() {
            // Half an event is no garbage but a stream cut short.
            let fate = self.opened.fate(&event);
            self.opened.pass(event, &fate);
            if let Fate::Done = fate {
                return self.succeeded();
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
                input: estimated_tokens(self.settings.request_bytes),
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
        // The client has left. Dropping the call makes it a cancelled one.
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

/// Waits until the end of all streams is set anew.
async fn changed(end: &mut watch::Receiver<Option<Instant>>) {
    // Without a gateway nobody sets it.
    if end.changed().await.is_err() {
        pending::<()>().await;
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
