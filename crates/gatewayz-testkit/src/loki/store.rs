//! What the receiver has seen, shared between its thread and the test.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::WaitError;
use super::answer::{Answer, Plan};
use super::decode::{self, Plain, Refusal, Stream};
use super::received::{Line, ReceivedRequest};
use super::rules::{Limits, Memory};
use crate::script::Script;
use crate::serve::{Backend, Reply, Request, Traffic, Whole, wait};

const PUSH_PATH: &str = "/loki/api/v1/push";

/// What is kept of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Lines,
    Counts,
}

#[derive(Debug)]
pub(super) struct Store {
    keep: Keep,
    limits: Limits,
    traffic: Arc<Traffic>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) lines: Vec<Arc<Line>>,
    pub(super) unique: HashSet<Arc<Line>>,
    pub(super) line_count: usize,
    pub(super) requests: Vec<ReceivedRequest>,
    pub(super) request_count: usize,
    pub(super) script: Script<Answer>,
    memory: Memory,
}

/// A push as far as it could be read.
struct Push {
    /// Place in the log of requests.
    number: usize,
    content: Result<Content, Refusal>,
}

enum Content {
    Streams(Vec<Stream>),
    Count(usize),
}

impl Store {
    pub(super) fn new(keep: Keep, limits: Limits) -> Self {
        Self {
            keep,
            limits,
            traffic: Arc::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("take the lock")
    }

    pub(super) fn wait_until(&self, timeout: Duration, fact: impl Fn(&State) -> bool) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |state| !fact(state));
        let state = waited.expect("take the lock").0;
        fact(&state)
    }

    pub(super) fn wait_for(
        &self,
        expected: usize,
        timeout: Duration,
        count: impl Fn(&State) -> usize,
    ) -> Result<(), WaitError> {
        if self.wait_until(timeout, |state| count(state) >= expected) {
            return Ok(());
        }
        Err(WaitError {
            expected,
            received: count(&self.lock()),
            waited: timeout,
        })
    }

    async fn take(&self, request: Request) -> Reply {
        let plain = decode::decompress(&request, self.limits.max_body_bytes);
        let (push, answer) = self.note(request, plain);
        match answer.plan() {
            Plan::Judge { delay, closes } => {
                wait(delay).await;
                let whole = self.judge(&push);
                self.answered(push.number, whole.status);
                if closes {
                    return Reply::WholeThenClose(whole);
                }
                Reply::Whole(whole)
            }
            Plan::Scripted { keeps, reply } => {
                if keeps {
                    self.judge(&push);
                }
                if let Some(status) = reply.status() {
                    self.answered(push.number, status);
                }
                reply
            }
        }
    }

    /// Writes the request into the log.
    fn note(&self, request: Request, plain: Result<Plain, Refusal>) -> (Push, Answer) {
        let decoded_bytes = plain.as_ref().map_or(0, |plain| plain.body.len());
        let content = plain.and_then(|plain| match self.keep {
            Keep::Lines => decode::streams(&plain).map(Content::Streams),
            Keep::Counts => decode::count_lines(&plain).map(Content::Count),
        });
        let mut state = self.lock();
        let number = state.request_count;
        state.request_count += 1;
        if self.keep == Keep::Lines {
            let lines = match &content {
                Ok(Content::Streams(streams)) => {
                    streams.iter().flat_map(|stream| &stream.lines).cloned().collect()
                }
                Ok(Content::Count(_)) | Err(_) => Vec::new(),
            };
            state.requests.push(ReceivedRequest {
                method: request.method,
                target: request.target,
                headers: request.headers,
                body: request.body,
                decoded_bytes,
                received_at: request.received_at,
                status: None,
                lines,
                kept: 0..0,
            });
        }
        let answer = state.script.take().unwrap_or(Answer::Ok);
        drop(state);
        self.changed.notify_all();
        (Push { number, content }, answer)
    }

    /// Keeps what Loki would keep and returns what it would answer.
    fn judge(&self, push: &Push) -> Whole {
        let mut state = self.lock();
        let refusal = match &push.content {
            Err(refusal) => Some(refusal.clone()),
            Ok(Content::Count(count)) => {
                state.line_count += count;
                None
            }
            Ok(Content::Streams(streams)) => match self.limits.judge(streams, &mut state.memory) {
                Err(refusal) => Some(refusal),
                Ok(judgement) => {
                    state.keep(push.number, judgement.kept);
                    judgement.refusal
                }
            },
        };
        drop(state);
        self.changed.notify_all();
        match refusal {
            None => Whole::status(204),
            Some(refusal) => Whole::text(refusal.status, format!("{}\n", refusal.message)),
        }
    }

    fn answered(&self, number: usize, status: u16) {
        if let Some(request) = self.lock().requests.get_mut(number) {
            request.status = Some(status);
        }
        self.changed.notify_all();
    }
}

impl State {
    fn keep(&mut self, number: usize, mut lines: Vec<Arc<Line>>) {
        let from = self.lines.len();
        self.line_count += lines.len();
        self.unique.extend(lines.iter().cloned());
        self.lines.append(&mut lines);
        if let Some(request) = self.requests.get_mut(number) {
            request.kept = from..self.lines.len();
        }
    }
}

impl Backend for Store {
    fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    async fn answer(&self, request: Request) -> Reply {
        if request.path() != PUSH_PATH {
            return Reply::Whole(Whole::text(404, "404 page not found\n".to_owned()));
        }
        if request.method != "POST" {
            return Reply::Whole(Whole::status(405));
        }
        self.take(request).await
    }
}
