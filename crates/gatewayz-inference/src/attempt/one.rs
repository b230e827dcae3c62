//! One attempt at one candidate, from sending the request to an answer that has begun.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use gatewayz_delivery::http::retry_after;
use http::HeaderMap;
use tokio::time::timeout_at;
use tracing::Span;

use super::{Attempts, Patience};
use crate::breaker::Permit;
use crate::failure::{Failure, Limit, Verdict};
use crate::metrics::nanos;
use crate::outcome::PANIC;
use crate::provider::{Incoming, IncomingBody, Outgoing};
use crate::reading::{MAX_ERROR_BYTES, ProviderMessage, Reading};
use crate::request::Request;
use crate::room::Taken;
use crate::routing::Candidate;
use crate::span;
use crate::stream::Opened;

const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// Headers of the gateway's own on each request, so that their map is made once and large enough.
const OWN_HEADERS: usize = 10;
/// What a connection's time limit may be late by.
const CONNECT_GRACE: Duration = Duration::from_millis(200);
/// Age at which an attempt without an answer speaks against its provider, although the client left first.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer that has begun.
pub(crate) enum Given {
    /// All of it, and the room it takes.
    Whole(Bytes, Taken, Box<Reading>),
    /// Its first events.
    Stream(Box<Opened>),
}

/// An attempt, until its answer is complete. Dropped before that, the client has left, or the gateway panics.
pub(crate) struct Attempt {
    pub(crate) candidate: Arc<Candidate>,
    span: Span,
    permit: Option<Permit>,
    /// `None` as soon as it is known whether the provider can be connected.
    connect: Option<Permit>,
    sent: Instant,
    /// How long the answer's first byte took, or the first event of a stream; `None` before.
    first_chunk: Option<Duration>,
    has_begun: bool,
    is_over: bool,
}

/// Leave of the model's breaker and of the provider's.
pub(super) struct Permits {
    model: Permit,
    connect: Permit,
}

pub(super) fn permits(candidate: &Candidate, now: Instant) -> Option<Permits> {
    Some(Permits {
        model: candidate.breaker.permit(now)?,
        connect: candidate.provider.connect_breaker.permit(now)?,
    })
}

/// The longest time a call of this kind may take there.
pub(crate) fn total(request: &Request, candidate: &Candidate) -> Duration {
    let timeouts = &candidate.provider.timeouts;
    if request.stream {
        timeouts.stream_total
    } else {
        timeouts.total
    }
}

/// Runs the attempt until its answer has begun, or all calls are `over`.
pub(super) async fn run(
    attempts: &Attempts<'_>,
    candidate: &Arc<Candidate>,
    permits: Permits,
    resends: u32,
    patience: Patience,
    over: Pin<&mut impl Future<Output = ()>>,
) -> Result<(Given, Attempt), Failure> {
    let mut attempt = Attempt {
        candidate: Arc::clone(candidate),
        span: span::open(attempts.request, candidate, resends),
        permit: Some(permits.model),
        connect: Some(permits.connect),
        sent: Instant::now(),
        first_chunk: None,
        has_begun: false,
        is_over: false,
    };
    let given = {
        let exchange = pin!(exchange(attempts, &mut attempt, patience));
        match select(exchange, over).await {
            Either::Left((given, _)) => given,
            Either::Right(((), _)) => Err(Failure::ShuttingDown),
        }
    };
    let now = Instant::now();
    let took = now - attempt.sent;
    let response_time = &candidate.provider.response_time;
    match given {
        Ok(given) => {
            attempt.begun(now);
            attempt.first_chunk = Some(took);
            response_time.observe(nanos(took), None);
            Ok((given, attempt))
        }
        Err(failure) => {
            match attempt.connect.take() {
                Some(connect) if failure == Failure::Connect => connect.failed(now),
                // Without a connection it would have failed otherwise, unless a limit of ours came first.
                Some(connect) if !failure.is_ours() => connect.succeeded(now),
                Some(_) | None => {}
            }
            if failure != Failure::Connect && !failure.is_ours() {
                response_time.observe(nanos(took), None);
            }
            attempt.record(&failure, now);
            Err(failure)
        }
    }
}

async fn exchange(
    attempts: &Attempts<'_>,
    attempt: &mut Attempt,
    patience: Patience,
) -> Result<Given, Failure> {
    let is_stream = attempts.request.stream;
    let timed_out = |_| Failure::Timeout(patience.limit);
    let incoming = head(attempts, attempt, patience).await?;
    let mut body = incoming.body;
    let idle = attempt.candidate.provider.timeouts.idle;
    if !incoming.status.is_success() {
        // What cannot be read of a refusal changes nothing about it.
        let mut taken = attempts.answer_room.enter(1);
        let said = whole(&mut body, MAX_ERROR_BYTES, &mut taken, idle, patience)
            .await
            .unwrap_or_default();
        return Err(Failure::Status {
            status: incoming.status,
            retry_after: retry_after(&incoming.headers),
            said: ProviderMessage::of_refusal(&said),
        });
    }
    if is_stream {
        let opened = Opened::open(body, attempts.request.usage_asked, attempts.is_kept);
        let opened = timeout_at(patience.until.into(), opened)
            .await
            .map_err(timed_out)??;
        return Ok(Given::Stream(Box::new(opened)));
    }
    attempt.has_begun = true;
    let mut taken = attempts.answer_room.enter(1);
    let bytes = whole(&mut body, MAX_ANSWER_BYTES, &mut taken, idle, patience).await?;
    let mut reading = Box::new(Reading::default());
    match reading.whole(attempts.request.operation, &bytes) {
        Some(Ok(())) => Ok(Given::Whole(bytes, taken, reading)),
        Some(Err(said)) => Err(Failure::ErrorInside(said)),
        None => Err(Failure::Malformed),
    }
}

/// Sends the request and waits for the head of the answer. What probes of the breakers wait to know is told at once:
/// other calls are kept away until then.
async fn head(
    attempts: &Attempts<'_>,
    attempt: &mut Attempt,
    patience: Patience,
) -> Result<Incoming, Failure> {
    let candidate = Arc::clone(&attempt.candidate);
    let provider = &candidate.provider;
    let outgoing = Outgoing {
        operation: attempts.request.operation,
        body: attempts.request.for_provider(&candidate.upstream_model),
        stream: attempts.request.stream,
        headers: headers(attempts, &attempt.span),
    };
    let connect = provider.timeouts.connect;
    let mut head = pin!(provider.backend.send(attempts.connections, connect, outgoing));
    let connect_end = attempt.sent + connect + CONNECT_GRACE;
    let first_end = connect_end.min(patience.until);
    let incoming = match timeout_at(first_end.into(), &mut head).await {
        Ok(incoming) => incoming?,
        Err(_) => {
            if connect_end <= patience.until {
                // Without a connection it would have failed by now.
                attempt.connected(Instant::now());
            }
            timeout_at(patience.until.into(), head)
                .await
                .map_err(|_| Failure::Timeout(patience.limit))??
        }
    };
    let now = Instant::now();
    attempt.connected(now);
    if incoming.status.is_success() {
        attempt.answers(now);
    }
    Ok(incoming)
}

fn headers(attempts: &Attempts<'_>, span: &Span) -> HeaderMap {
    let forwarded = &attempts.call.forwarded;
    let mut headers = HeaderMap::with_capacity(forwarded.len() + OWN_HEADERS);
    headers.extend(
        forwarded
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    if let Some(trace_headers) = attempts.trace_headers {
        trace_headers(span, &mut headers);
    }
    headers
}

/// Reads a body to its end.
async fn whole(
    body: &mut IncomingBody,
    max_bytes: usize,
    taken: &mut Taken,
    idle: Duration,
    patience: Patience,
) -> Result<Bytes, Failure> {
    let mut whole = BytesMut::new();
    let mut only = Bytes::new();
    loop {
        let now = Instant::now();
        // A time limit is not looked at while there is always something to read.
        if now >= patience.until {
            return Err(Failure::Timeout(patience.limit));
        }
        let idle_end = now + idle;
        let (end, limit) = if idle_end < patience.until {
            (idle_end, Limit::Idle)
        } else {
            (patience.until, patience.limit)
        };
        let chunk = timeout_at(end.into(), body.chunk())
            .await
            .map_err(|_| Failure::Timeout(limit))??;
        let Some(chunk) = chunk else {
            return Ok(if whole.is_empty() { only } else { whole.freeze() });
        };
        let length = whole.len() + only.len() + chunk.len();
        if length > max_bytes {
            return Err(Failure::TooLarge);
        }
        if !taken.grow(length) {
            return Err(Failure::NoRoom);
        }
        // Most answers come in one chunk and need no copy.
        if whole.is_empty() && only.is_empty() {
            only = chunk;
        } else {
            whole.extend_from_slice(&std::mem::take(&mut only));
            whole.extend_from_slice(&chunk);
        }
    }
}

impl Attempt {
    /// The answer is complete.
    pub(crate) fn succeeded(mut self, reading: &Reading) {
        span::answered(&self.span, reading, self.first_chunk);
        self.judge(Verdict::Well, Instant::now());
    }

    /// The answer broke off after it had begun.
    pub(crate) fn broke(mut self, failure: &Failure, reading: &Reading) {
        span::answered(&self.span, reading, self.first_chunk);
        self.record(failure, Instant::now());
    }

    /// The provider can be connected.
    fn connected(&mut self, now: Instant) {
        if let Some(connect) = self.connect.take() {
            connect.succeeded(now);
        }
    }

    /// The provider answers, well or not.
    fn answers(&mut self, now: Instant) {
        if let Some(permit) = &mut self.permit {
            permit.begun(now);
        }
    }

    fn begun(&mut self, now: Instant) {
        self.has_begun = true;
        self.answers(now);
    }

    fn record(&mut self, failure: &Failure, now: Instant) {
        span::failed(&self.span, failure);
        self.judge(failure.verdict(), now);
    }

    fn judge(&mut self, verdict: Verdict, now: Instant) {
        self.is_over = true;
        let Some(mut permit) = self.permit.take() else {
            return;
        };
        let health = &self.candidate.provider.health;
        match verdict {
            Verdict::Well => {
                health.record(true, now);
                permit.succeeded(now);
            }
            Verdict::Unwell => {
                health.record(false, now);
                permit.failed(now);
            }
            Verdict::Refused => permit.begun(now),
            Verdict::Nothing => {}
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if let Some(after) = self.first_chunk {
            span::first_chunk(&self.span, after);
        }
        if thread::panicking() {
            // That says nothing of the provider.
            span::error(&self.span, PANIC);
            return;
        }
        span::error(&self.span, "cancelled");
        let now = Instant::now();
        let patience = self.candidate.provider.timeouts.first_byte.min(PATIENCE);
        // Otherwise clients with less patience than the gateway would hide a provider that hangs.
        if !self.has_begun && now.saturating_duration_since(self.sent) >= patience {
            self.judge(Verdict::Unwell, now);
        }
    }
}

#[cfg(test)]
mod tests;
