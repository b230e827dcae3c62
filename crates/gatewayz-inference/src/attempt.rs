//! The attempts of one call: which candidate is next, when to wait, when to give up.

mod one;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use tracing::warn;

pub(crate) use one::{Attempt, Given};

use crate::budget::RetryBudget;
use crate::call::Call;
use crate::error::InferenceError;
use crate::failure::{Failure, Retry};
use crate::gateway::TraceHeaders;
use crate::outcome::{Pending, Status};
use crate::provider::Connections;
use crate::request::Request;
use crate::routing::{Candidate, Model};

const MAX_ATTEMPTS: u32 = 3;
const BACKOFF_BASE: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// A provider that asks for more patience than this is not waited for: the client is told instead.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What the attempts of one call share.
pub(crate) struct Attempts<'a> {
    pub(crate) request: &'a Request,
    pub(crate) model: &'a Model,
    pub(crate) call: &'a Call,
    pub(crate) connections: &'a Connections,
    pub(crate) budget: &'a RetryBudget,
    pub(crate) trace_headers: Option<&'a TraceHeaders>,
    /// Whether the events of a stream are collected for the cache.
    pub(crate) is_kept: bool,
}

/// Why a call got no answer, and how it ended.
pub(crate) struct GivenUp {
    pub(crate) error: InferenceError,
    pub(crate) status: Status,
    pub(crate) kind: &'static str,
}

/// What has become of a candidate in this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Fresh,
    /// Failed, and may be tried again after the wait the provider asked for.
    Failed {
        wait: Option<Duration>,
    },
    Excluded,
}

/// What to do next.
enum Next {
    Try(usize),
    WaitAndTry(usize, Duration),
    GiveUp,
}

impl Attempts<'_> {
    /// Tries candidates until one has begun to answer.
    pub(crate) async fn run(&self, pending: &mut Pending) -> Result<(Given, Attempt), GivenUp> {
        self.budget.call(pending.started);
        let drawn = self.model.draw();
        let mut places = vec![Place::Fresh; drawn.len()];
        let mut last: Option<(Failure, &Arc<Candidate>)> = None;
        let mut attempts = 0;
        while attempts < MAX_ATTEMPTS {
            let index = match self.next(&drawn, &places, attempts, pending.started) {
                Next::Try(index) => index,
                Next::WaitAndTry(index, wait) => {
                    tokio::time::sleep(wait).await;
                    index
                }
                Next::GiveUp => break,
            };
            let (Some(candidate), Some(place)) = (drawn.get(index).copied(), places.get_mut(index)) else {
                break;
            };
            let Some(permits) = one::permits(candidate, Instant::now()) else {
                *place = Place::Excluded;
                continue;
            };
            *place = Place::Excluded;
            let now = Instant::now();
            let mut others = drawn.iter().zip(&places);
            let is_last = attempts + 1 == MAX_ATTEMPTS
                || !others.any(|(other, place)| *place == Place::Fresh && is_up(other, now));
            pending.attempt(&candidate.metrics);
            let failure = match one::run(self, candidate, permits, pending, attempts, is_last).await {
                Ok(given) => return Ok(given),
                Err(failure) => failure,
            };
            attempts += 1;
            let retry = failure.retry();
            if let (Some(place), Retry::Anywhere) = (places.get_mut(index), retry) {
                *place = Place::Failed {
                    wait: failure.retry_after(),
                };
            }
            warn_of(candidate, &failure, attempts);
            last = Some((failure, candidate));
            if retry == Retry::Nowhere {
                break;
            }
        }
        Err(given_up(last, &drawn))
    }

    fn next(&self, drawn: &[&Arc<Candidate>], places: &[Place], attempts: u32, started: Instant) -> Next {
        let now = Instant::now();
        let mut fresh = drawn.iter().zip(places).enumerate();
        if let Some((index, _)) =
            fresh.find(|(_, (candidate, place))| **place == Place::Fresh && is_up(candidate, now))
        {
            return Next::Try(index);
        }
        let failed = drawn
            .iter()
            .zip(places)
            .enumerate()
            .filter_map(|(index, (candidate, place))| {
                let Place::Failed { wait } = place else {
                    return None;
                };
                let wait = wait.unwrap_or_else(|| backoff(attempts));
                let has_time = started.elapsed() + wait < one::total(self.request, candidate);
                (wait <= LONGEST_WAIT && has_time && is_up(candidate, now)).then_some((index, wait))
            });
        match failed.min_by_key(|(_, wait)| *wait) {
            Some((index, wait)) if self.budget.take(now) => Next::WaitAndTry(index, wait),
            Some(_) | None => Next::GiveUp,
        }
    }
}

fn is_up(candidate: &Candidate, now: Instant) -> bool {
    candidate.breaker.lets_through(now) && candidate.provider.connect_breaker.lets_through(now)
}

/// Full jitter: any time up to a limit that doubles, so that many callers do not come back at once.
fn backoff(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(8);
    let limit = (BACKOFF_BASE * 2_u32.pow(doublings)).min(BACKOFF_MAX);
    rand::rng().random_range(Duration::ZERO..=limit)
}

fn given_up(last: Option<(Failure, &Arc<Candidate>)>, drawn: &[&Arc<Candidate>]) -> GivenUp {
    let Some((failure, candidate)) = last else {
        let now = Instant::now();
        let waits = drawn.iter().map(|candidate| {
            let connect = candidate.provider.connect_breaker.opens_in(now);
            candidate.breaker.opens_in(now).max(connect)
        });
        let retry_after = waits.min().unwrap_or_default().max(Duration::from_secs(1));
        return GivenUp {
            error: InferenceError::NoProvider { retry_after },
            status: Status::Error,
            kind: "no_available_provider",
        };
    };
    GivenUp {
        error: failure.to_error(candidate.provider.backend.key()),
        status: failure.status(),
        kind: failure.kind(),
    }
}

fn warn_of(candidate: &Candidate, failure: &Failure, attempt: u32) {
    // A client's mistake is no warning.
    if failure.speaks_against_provider() {
        let provider = &*candidate.provider.name;
        warn!(
            provider,
            upstream_model = &*candidate.upstream_model,
            "error.type" = failure.kind(),
            attempt,
            "Provider {provider} failed"
        );
    }
}
