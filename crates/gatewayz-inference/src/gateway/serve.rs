//! One call: the cache, the attempts, the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::time::timeout_at;

use super::Shared;
use crate::answer::{Answer, AnswerStream, Body};
use crate::attempt::{Attempt, Attempts, Given, total};
use crate::cache::{Entry, Joined, Keeping, Key, Landed, ResponseCache};
use crate::call::Call;
use crate::catalog::Operation;
use crate::error::InferenceError;
use crate::outcome::{CacheStatus, Pending, Status};
use crate::pricing::Tokens;
use crate::provider::Connections;
use crate::reading::Reading;
use crate::request::Request;
use crate::routing::Model;
use crate::stream::{Opened, StreamSettings, estimated_tokens};

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const CACHE: HeaderName = HeaderName::from_static("x-gatewayz-cache");
/// Longest time a call waits for the answer of another one, or a quarter of its own where that is less: the rest must
/// do for an answer of its own.
const LONGEST_JOIN: Duration = Duration::from_secs(10);
const JOIN_SHARE: u32 = 4;

/// Everything one call needs.
pub(super) struct Serving<'a> {
    pub(super) shared: &'a Shared,
    pub(super) connections: &'a Connections,
    pub(super) cache: &'a Arc<ResponseCache>,
    pub(super) request: &'a Request,
    pub(super) model: &'a Model,
    pub(super) call: &'a Call,
}

/// What the cache had to say.
enum Lookup {
    /// The answer, in the form that is wanted.
    Hit(Arc<Entry>, Bytes),
    /// A provider must be asked; its answer may be kept.
    Ask(CacheStatus, Option<Keeping>),
}

impl Serving<'_> {
    pub(super) async fn run(&self, mut pending: Pending) -> Result<Answer, InferenceError> {
        let (status, keeping) = match self.look_up(pending.started).await {
            Lookup::Hit(entry, body) => return Ok(self.hit(pending, &entry, body)),
            Lookup::Ask(status, keeping) => (status, keeping),
        };
        pending.cache(status);
        let attempts = Attempts {
            request: self.request,
            model: self.model,
            call: self.call,
            connections: self.connections,
            budget: &self.shared.budget,
            trace_headers: self.shared.settings.trace_headers.as_ref(),
            is_kept: keeping.is_some(),
            answer_room: &self.shared.answer_room,
            end: &self.shared.calls_end,
        };
        match attempts.run(&mut pending).await {
            Ok((Given::Whole(body, taken, reading), attempt)) => {
                self.settle(&mut pending, &attempt, &reading, body.len());
                if let Some(keeping) = keeping {
                    let operation = self.request.operation;
                    keeping.whole(operation, &body, &reading, &attempt.candidate.metrics);
                }
                attempt.succeeded(&reading);
                pending.finish(Status::Success, None);
                Ok(whole(taken.hold(body), status))
            }
            Ok((Given::Stream(opened), attempt)) => {
                Ok(self.stream(opened, pending, attempt, keeping, status))
            }
            Err(given_up) => {
                if let Some(keeping) = keeping {
                    keeping.not_kept();
                }
                pending.finish(given_up.status, Some(given_up.kind));
                Err(given_up.error)
            }
        }
    }

    async fn look_up(&self, started: Instant) -> Lookup {
        let control = &self.call.cache_control;
        let Some(policy) = self.model.cache.filter(|_| !control.no_store) else {
            return Lookup::Ask(CacheStatus::Bypass, None);
        };
        // Embeddings of the same input are the same.
        let is_repeatable = self.request.repeatable || self.request.operation == Operation::Embeddings;
        if !is_repeatable && !policy.always {
            return Lookup::Ask(CacheStatus::Bypass, None);
        }
        let Some((whole, events)) = Key::both(self.request, self.model, self.call) else {
            return Lookup::Ask(CacheStatus::Bypass, None);
        };
        let key = if self.request.stream { events } else { whole };
        let keeping = |flight| {
            Some(Keeping {
                cache: Arc::clone(self.cache),
                key,
                ttl: policy.ttl,
                flight,
            })
        };
        if control.no_cache || control.max_age == Some(Duration::ZERO) {
            return Lookup::Ask(CacheStatus::Bypass, keeping(None));
        }
        let ask_alone = || Lookup::Ask(CacheStatus::Miss, keeping(None));
        let deadline = started + LONGEST_JOIN.min(self.shortest_total() / JOIN_SHARE);
        loop {
            if let Some(hit) = self.find(&whole, &events) {
                return hit;
            }
            // A stream ends as late as its client likes, so nobody waits for one.
            if self.request.stream {
                return ask_alone();
            }
            match self.cache.join(key) {
                Joined::First(flight) => {
                    // The call before may have landed since the look.
                    let found = self.find(&whole, &events);
                    return found.unwrap_or_else(|| Lookup::Ask(CacheStatus::Miss, keeping(Some(flight))));
                }
                Joined::Waiting(waiting) => match timeout_at(deadline.into(), waiting.landed()).await {
                    Ok(Landed::Kept) => return self.find(&whole, &events).unwrap_or_else(ask_alone),
                    Ok(Landed::NotKept) | Err(_) => return ask_alone(),
                    Ok(Landed::GivenUp) => {}
                },
            }
        }
    }

    fn find(&self, whole: &Key, events: &Key) -> Option<Lookup> {
        let max_age = self.call.cache_control.max_age;
        let in_events = |key: &Key| {
            let entry = self.cache.get(key, max_age)?;
            let body = entry.events(self.request.usage_asked)?;
            Some(Lookup::Hit(entry, body))
        };
        if self.request.stream {
            return in_events(events).or_else(|| in_events(whole));
        }
        let entry = self.cache.get(whole, max_age)?;
        let body = entry.whole()?;
        Some(Lookup::Hit(entry, body))
    }

    fn shortest_total(&self) -> Duration {
        let totals = self
            .model
            .candidates
            .iter()
            .map(|candidate| total(self.request, candidate));
        totals.min().unwrap_or_default()
    }

    fn hit(&self, mut pending: Pending, entry: &Entry, body: Bytes) -> Answer {
        pending.cache(CacheStatus::Hit);
        pending.answered_by(&entry.metrics);
        pending.finish_reason(entry.finish_reason);
        let answer = if self.request.stream {
            pending.first_token();
            let events = stream::iter([body]);
            events_answer(AnswerStream::new(events), CacheStatus::Hit)
        } else {
            whole(body, CacheStatus::Hit)
        };
        pending.finish(Status::Success, None);
        answer
    }

    fn stream(
        &self,
        opened: Box<Opened>,
        pending: Pending,
        attempt: Attempt,
        keeping: Option<Keeping>,
        status: CacheStatus,
    ) -> Answer {
        let timeouts = &attempt.candidate.provider.timeouts;
        let settings = StreamSettings {
            idle: timeouts.idle,
            deadline: pending.started + timeouts.stream_total,
            keep_alive: self.shared.settings.keep_alive,
            end: self.shared.calls_end.subscribe(),
            request_bytes: self.request.body.len(),
        };
        events_answer(opened.into_answer(&settings, pending, attempt, keeping), status)
    }

    fn settle(&self, pending: &mut Pending, attempt: &Attempt, reading: &Reading, answer_bytes: usize) {
        pending.finish_reason(reading.finish_reason);
        match reading.tokens {
            Some(tokens) => pending.used(tokens, &attempt.candidate.prices),
            None => pending.estimated(Tokens {
                input: estimated_tokens(self.request.body.len()),
                cached: 0,
                output: estimated_tokens(answer_bytes),
            }),
        }
    }
}

/// A JSON answer.
pub(super) fn json(body: Bytes) -> Answer {
    // With room for what tells about the cache.
    let mut headers = HeaderMap::with_capacity(2);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Answer {
        status: StatusCode::OK,
        headers,
        body: Body::Bytes(body),
    }
}

fn whole(body: Bytes, cache: CacheStatus) -> Answer {
    let mut answer = json(body);
    answer
        .headers
        .insert(CACHE, HeaderValue::from_static(cache.as_str()));
    answer
}

fn events_answer(events: AnswerStream, cache: CacheStatus) -> Answer {
    let headers = [
        (CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
        // Or a proxy in between collects the events of a stream.
        (ACCEL_BUFFERING, "no"),
        (CACHE, cache.as_str()),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    Answer {
        status: StatusCode::OK,
        headers: HeaderMap::from_iter(headers),
        body: Body::Stream(events),
    }
}
