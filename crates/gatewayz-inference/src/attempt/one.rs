//! One attempt at one candidate, from sending the request to an answer that has begun.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, RETRY_AFTER};
use tokio::time::timeout_at;
use tracing::Span;

use super::Attempts;
use crate::breaker::Permit;
use crate::failure::{Failure, Limit};
use crate::metrics::nanos;
use crate::outcome::Pending;
use crate::provider::{IncomingBody, Outgoing};
use crate::reading::{ProviderMessage, Reading};
use crate::request::Request;
use crate::routing::Candidate;
use crate::span;
use crate::stream::Opened;

const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// An answer that has begun.
pub(crate) enum Given {
    /// All of it.
    Whole(Bytes, Box<Reading>),
    /// Its first events.
    Stream(Box<Opened>),
}

/// An attempt that has an answer, until the answer is complete. Dropped before that, the client has left.
pub(crate) struct Attempt {
    pub(crate) candidate: Arc<Candidate>,
    span: Span,
    permit: Option<Permit>,
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
pub(super) fn total(request: &Request, candidate: &Candidate) -> Duration {
    let timeouts = &candidate.provider.timeouts;
    if request.stream {
        timeouts.stream_total
    } else {
        timeouts.total
    }
}

/// Runs the attempt. Where there is no other candidate left, a slow first byte is waited for: giving up would
/// help nobody.
pub(super) async fn run(
    attempts: &Attempts<'_>,
    candidate: &Arc<Candidate>,
    mut permits: Permits,
    pending: &Pending,
    resends: u32,
    is_last: bool,
) -> Result<(Given, Attempt), Failure> {
    let request = attempts.request;
    let mut attempt = Attempt {
        candidate: Arc::clone(candidate),
        span: span::open(request, candidate, resends),
        permit: None,
        is_over: false,
    };
    let sent = Instant::now();
    let deadline = pending.started + total(request, candidate);
    let first_byte = sent + candidate.provider.timeouts.first_byte;
    let given = if request.stream && !is_last && first_byte < deadline {
        exchange(attempts, &attempt, (first_byte, Limit::FirstByte), deadline).await
    } else {
        exchange(attempts, &attempt, (deadline, Limit::Total), deadline).await
    };
    let now = Instant::now();
    match given {
        Ok(given) => {
            permits.connect.succeeded(now);
            permits.model.begun(now);
            attempt.permit = Some(permits.model);
            candidate.provider.response_time.observe(nanos(now - sent), None);
            span::first_chunk(&attempt.span, now - sent);
            Ok((given, attempt))
        }
        Err(failure) => {
            if failure == Failure::Connect {
                permits.connect.failed(now);
            } else {
                permits.connect.succeeded(now);
            }
            attempt.permit = Some(permits.model);
            if !matches!(failure, Failure::Connect | Failure::Timeout(_)) {
                candidate.provider.response_time.observe(nanos(now - sent), None);
            }
            attempt.record(&failure, now);
            Err(failure)
        }
    }
}

async fn exchange(
    attempts: &Attempts<'_>,
    attempt: &Attempt,
    (first, limit): (Instant, Limit),
    deadline: Instant,
) -> Result<Given, Failure> {
    let provider = &attempt.candidate.provider;
    let outgoing = Outgoing {
        operation: attempts.request.operation,
        body: attempts.request.for_provider(&attempt.candidate.upstream_model),
        stream: attempts.request.stream,
        headers: headers(attempts, &attempt.span),
    };
    let head = provider
        .backend
        .send(attempts.connections, provider.timeouts.connect, outgoing);
    let incoming = timeout_at(first.into(), head)
        .await
        .map_err(|_| Failure::Timeout(limit))??;
    let mut body = incoming.body;
    let idle = provider.timeouts.idle;
    if !incoming.status.is_success() {
        // What cannot be read of a refusal changes nothing about it.
        let said = whole(&mut body, MAX_ERROR_BYTES, idle, deadline)
            .await
            .unwrap_or_default();
        return Err(Failure::Status {
            status: incoming.status,
            retry_after: retry_after(&incoming.headers),
            said: said_in(&said),
        });
    }
    if attempts.request.stream {
        let opened = timeout_at(
            first.into(),
            Opened::open(body, attempts.request.usage_asked, attempts.is_kept),
        )
        .await
        .map_err(|_| Failure::Timeout(limit))??;
        return Ok(Given::Stream(Box::new(opened)));
    }
    let bytes = whole(&mut body, MAX_ANSWER_BYTES, idle, deadline).await?;
    let mut reading = Box::new(Reading::default());
    match reading.whole(&bytes) {
        Some(Ok(())) => Ok(Given::Whole(bytes, reading)),
        Some(Err(_)) => Err(Failure::ErrorInside),
        None => Err(Failure::Malformed),
    }
}

fn headers(attempts: &Attempts<'_>, span: &Span) -> HeaderMap {
    let mut headers = attempts.call.forwarded.clone();
    if let Some(trace_headers) = attempts.trace_headers {
        trace_headers(span, &mut headers);
    }
    headers
}

/// Reads a body to its end.
async fn whole(
    body: &mut IncomingBody,
    max_bytes: usize,
    idle: Duration,
    deadline: Instant,
) -> Result<Bytes, Failure> {
    let mut whole = BytesMut::new();
    let mut only = Bytes::new();
    loop {
        let idle_end = Instant::now() + idle;
        let limit = if idle_end < deadline {
            Limit::Idle
        } else {
            Limit::Total
        };
        let chunk = timeout_at(idle_end.min(deadline).into(), body.chunk())
            .await
            .map_err(|_| Failure::Timeout(limit))??;
        let Some(chunk) = chunk else {
            return Ok(if whole.is_empty() { only } else { whole.freeze() });
        };
        if whole.len() + only.len() + chunk.len() > max_bytes {
            return Err(Failure::TooLarge);
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

fn said_in(body: &[u8]) -> ProviderMessage {
    match Reading::default().whole(body) {
        Some(Err(said)) => said,
        Some(Ok(())) | None => ProviderMessage::default(),
    }
}

/// Seconds or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

impl Attempt {
    /// The answer is complete.
    pub(crate) fn succeeded(mut self, reading: &Reading) {
        span::answered(&self.span, reading);
        self.judge(true, Instant::now());
    }

    /// The answer broke off after it had begun.
    pub(crate) fn broke(mut self, failure: &Failure, reading: &Reading) {
        span::answered(&self.span, reading);
        self.record(failure, Instant::now());
    }

    fn record(&mut self, failure: &Failure, now: Instant) {
        span::failed(&self.span, failure);
        self.judge(!failure.speaks_against_provider(), now);
    }

    fn judge(&mut self, is_well: bool, now: Instant) {
        self.is_over = true;
        self.candidate.provider.health.record(is_well, now);
        match self.permit.take() {
            Some(permit) if is_well => permit.succeeded(now),
            Some(permit) => permit.failed(now),
            None => {}
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.is_over {
            span::error(&self.span, "cancelled");
        }
    }
}
