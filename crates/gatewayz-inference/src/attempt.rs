//! The attempts of one call: which candidate is next, when to wait, when to give up.

mod one;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{Either, pending as never, select};
use rand::Rng;
use tokio::sync::watch;
use tokio::time::timeout_at;
use tracing::warn;

pub(crate) use one::{Attempt, Given, total};

use crate::budget::RetryBudget;
use crate::call::Call;
use crate::error::InferenceError;
use crate::failure::{Failure, Limit, Retry, Verdict};
use crate::gateway::TraceHeaders;
use crate::outcome::{Pending, Status};
use crate::provider::Connections;
use crate::request::Request;
use crate::room::Room;
use crate::routing::{Candidate, Model};

const MAX_ATTEMPTS: u32 = 3;
const BACKOFF_BASE: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// A provider that asks for more patience than this is not waited for: the client is told instead.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A candidate with less time left than this, or than a twentieth of its own, is not tried: it would only seem to
/// fail.
const LEAST_TIME: Duration = Duration::from_millis(50);
const LEAST_SHARE: u32 = 20;

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
    /// For answers in one piece.
    pub(crate) answer_room: &'a Arc<Room>,
    /// When all calls are over.
    pub(crate) end: &'a watch::Sender<Option<Instant>>,
}

/// Why a call got no answer, and how it ended.
pub(crate) struct GivenUp {
    pub(crate) error: InferenceError,
    pub(crate) status: Status,
    pub(crate) kind: &'static str,
}

impl GivenUp {
    pub(crate) fn shutting_down() -> Self {
        Self {
            error: InferenceError::ShuttingDown,
            status: Failure::ShuttingDown.status(),
            kind: Failure::ShuttingDown.kind(),
        }
    }
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

/// How long an attempt may take to give an answer.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// For the first event of a stream, and for all of an answer in one piece.
    until: Instant,
    /// What is reached then.
    limit: Limit,
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
        let mut over = pin!(over(self.end.subscribe()));
        while attempts < MAX_ATTEMPTS {
            if over.as_mut().now_or_never().is_some() {
                return Err(GivenUp::shutting_down());
            }
            let index = match self.next(&drawn, &places, attempts, pending.started) {
                Next::Try(index) => index,
                Next::WaitAndTry(index, wait) => {
                    let waited = pin!(tokio::time::sleep(wait));
                    if let Either::Right(_) = select(waited, over.as_mut()).await {
                        return Err(GivenUp::shutting_down());
                    }
                    index
                }
                Next::GiveUp => break,
            };
            let (Some(candidate), Some(place)) = (drawn.get(index).copied(), places.get_mut(index)) else {
                break;
            };
            *place = Place::Excluded;
            let now = Instant::now();
            let Some(permits) = one::permits(candidate, now) else {
                continue;
            };
            let others = drawn.iter().zip(&places);
            let others = others.filter(|(other, place)| **place == Place::Fresh && is_up(other, now));
            let others = u32::try_from(others.count()).unwrap_or(MAX_ATTEMPTS);
            let others = others.min(MAX_ATTEMPTS - attempts - 1);
            pending.attempt(&candidate.metrics);
            let patience = self.patience(candidate, pending.started, now, others);
            let failure = match one::run(self, candidate, permits, attempts, patience, over.as_mut()).await {
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
            if failure == Failure::ShuttingDown {
                return Err(GivenUp::shutting_down());
            }
            warn_of(candidate, &failure, attempts);
            last = Some((failure, candidate));
            if retry == Retry::Nowhere {
                break;
            }
        }
        Err(given_up(last, &drawn))
    }

    /// Where there is no other candidate left, a slow answer is waited for: giving up would help nobody.
    fn patience(&self, candidate: &Candidate, started: Instant, now: Instant, others: u32) -> Patience {
        let deadline = started + total(self.request, candidate);
        let share = now + deadline.saturating_duration_since(now) / (others + 1);
        let first_byte = now + candidate.provider.timeouts.first_byte;
        let (until, limit) = if others == 0 {
            (deadline, Limit::Total)
        } else if self.request.stream && first_byte < share {
            (first_byte, Limit::FirstByte)
        } else {
            (share, Limit::Share)
        };
        Patience { until, limit }
    }

    fn has_time(&self, candidate: &Candidate, spent: Duration) -> bool {
        let total = total(self.request, candidate);
        total.saturating_sub(spent) > LEAST_TIME.min(total / LEAST_SHARE)
    }

    fn next(&self, drawn: &[&Arc<Candidate>], places: &[Place], attempts: u32, started: Instant) -> Next {
        let now = Instant::now();
        let mut fresh = drawn.iter().zip(places).enumerate();
        let spent = now.saturating_duration_since(started);
        let can_be_tried = |candidate: &Candidate| is_up(candidate, now) && self.has_time(candidate, spent);
        if let Some((index, _)) =
            fresh.find(|(_, (candidate, place))| **place == Place::Fresh && can_be_tried(candidate))
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
                if wait.is_some_and(|wait| wait > LONGEST_WAIT) {
                    return None;
                }
                let wait = pause(*wait, attempts);
                (is_up(candidate, now) && self.has_time(candidate, spent + wait)).then_some((index, wait))
            });
        match failed.min_by_key(|(_, wait)| *wait) {
            Some((index, wait)) if self.budget.take(now) => Next::WaitAndTry(index, wait),
            Some(_) | None => Next::GiveUp,
        }
    }
}

/// Waits for the end of all calls.
async fn over(mut end: watch::Receiver<Option<Instant>>) {
    loop {
        let at = *end.borrow_and_update();
        let changed = match at {
            Some(at) => match timeout_at(at.into(), end.changed()).await {
                Ok(changed) => changed,
                Err(_) => return,
            },
            None => end.changed().await,
        };
        // Without a gateway nobody sets it.
        if changed.is_err() {
            never::<()>().await;
        }
    }
}

fn is_up(candidate: &Candidate, now: Instant) -> bool {
    candidate.breaker.lets_through(now) && candidate.provider.connect_breaker.lets_through(now)
}

/// How long to wait before the same candidate is tried again: what it asked for and a little more, or a backoff.
fn pause(asked: Option<Duration>, attempts: u32) -> Duration {
    match asked {
        Some(asked) => asked + rand::rng().random_range(Duration::ZERO..=BACKOFF_BASE),
        None => backoff(attempts),
    }
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
    // Neither a client's mistake nor a limit is a warning.
    if failure.verdict() == Verdict::Unwell {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_do_not_come_back_at_the_very_moment_they_were_told() {
        let asked = Duration::from_secs(3);

        let waits: Vec<_> = (0..100).map(|_| pause(Some(asked), 1)).collect();

        assert!(
            waits
                .iter()
                .all(|wait| (asked..=asked + BACKOFF_BASE).contains(wait))
        );
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}
