//! What the receiver has seen, shared between its thread and the test.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use super::WaitError;
use super::answer::{Answer, Plan, Verdict};
use super::received::{ReceivedRequest, ReceivedSpan, Transport, flatten};
use crate::protobuf::each_message;
use crate::script::Script;
use crate::serve::{Traffic, wait};

/// What is kept of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Spans,
    Counts,
}

#[derive(Debug)]
pub(super) struct Store {
    keep: Keep,
    pub(super) traffic: Arc<Traffic>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) spans: Vec<ReceivedSpan>,
    /// Trace and span ids of the accepted spans.
    pub(super) unique: HashSet<([u8; 16], [u8; 8])>,
    pub(super) span_count: usize,
    pub(super) request_log: Vec<ReceivedRequest>,
    pub(super) request_count: usize,
    pub(super) script: Script<Answer>,
}

impl Store {
    pub(super) fn new(keep: Keep) -> Self {
        Self {
            keep,
            traffic: Arc::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Takes one request, with its headers in lower case, as the script says.
    pub(super) async fn take(
        &self,
        transport: Transport,
        headers: Vec<(String, String)>,
        body: Bytes,
    ) -> Verdict {
        let (decoded, count) = match self.keep {
            Keep::Spans => {
                let decoded = ExportTraceServiceRequest::decode(body.clone()).map(flatten);
                let count = decoded.as_ref().map(Vec::len).map_err(|_| ());
                (decoded.unwrap_or_default(), count)
            }
            Keep::Counts => (Vec::new(), count_spans(body.clone()).map_err(|_| ())),
        };
        let answer = self.note(transport, headers, body, count.unwrap_or(0));
        let Ok(count) = count else {
            return Verdict::Malformed;
        };
        match answer.plan() {
            Plan::Accept {
                delay,
                rejected,
                message,
            } => {
                wait(delay).await;
                self.accept(decoded, count, rejected);
                Verdict::Accepted { rejected, message }
            }
            Plan::Refuse { status, retry_after } => Verdict::Refused { status, retry_after },
            Plan::Break { keeps, reply } => {
                if keeps {
                    self.accept(decoded, count, 0);
                }
                Verdict::Broken(reply)
            }
        }
    }

    /// Writes the request into the log.
    fn note(
        &self,
        transport: Transport,
        headers: Vec<(String, String)>,
        body: Bytes,
        span_count: usize,
    ) -> Answer {
        let mut state = self.lock();
        state.request_count += 1;
        if self.keep == Keep::Spans {
            state.request_log.push(ReceivedRequest {
                transport,
                received_at: Instant::now(),
                headers,
                body,
                span_count,
            });
        }
        let answer = state.script.take().unwrap_or(Answer::Ok);
        drop(state);
        self.changed.notify_all();
        answer
    }

    fn accept(&self, mut spans: Vec<ReceivedSpan>, count: usize, rejected: u32) {
        let accepted = count.saturating_sub(usize::try_from(rejected).unwrap_or(usize::MAX));
        spans.truncate(accepted);
        let mut state = self.lock();
        state
            .unique
            .extend(spans.iter().map(|span| (span.trace_id, span.span_id)));
        state.spans.append(&mut spans);
        state.span_count += accepted;
        drop(state);
        self.changed.notify_all();
    }

    pub(super) fn wait_for(
        &self,
        expected: usize,
        timeout: Duration,
        count: impl Fn(&State) -> usize,
    ) -> Result<(), WaitError> {
        let received = count(&self.wait_until(timeout, |state| count(state) >= expected));
        if received >= expected {
            return Ok(());
        }
        Err(WaitError {
            expected,
            received,
            waited: timeout,
        })
    }

    pub(super) fn wait_for_requests(&self, count: usize, timeout: Duration) -> bool {
        self.wait_until(timeout, |state| state.request_count >= count)
            .request_count
            >= count
    }

    fn wait_until(&self, timeout: Duration, done: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        self.changed
            .wait_timeout_while(self.lock(), timeout, |state| !done(state))
            .expect("take the lock")
            .0
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("take the lock")
    }
}

/// Counts `resource_spans (1) / scope_spans (2) / spans (2)` of an export request without decoding a span.
fn count_spans(request: Bytes) -> Result<usize, prost::DecodeError> {
    let mut count = 0;
    each_message(request, 1, &mut |resource_spans| {
        each_message(resource_spans, 2, &mut |scope_spans| {
            each_message(scope_spans, 2, &mut |_span| {
                count += 1;
                Ok(())
            })
        })
    })?;
    Ok(count)
}
