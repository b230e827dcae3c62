//! What the receiver has seen, shared between its thread and the test.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::WaitError;
use super::answer::{Answer, Verdict};
use super::received::{ReceivedRequest, ReceivedSpan, Transport, flatten};

/// What is kept of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Spans,
    Counts,
}

#[derive(Debug)]
pub(super) struct Store {
    keep: Keep,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    spans: Vec<ReceivedSpan>,
    span_count: usize,
    request_log: Vec<ReceivedRequest>,
    request_count: usize,
    answers: VecDeque<Answer>,
}

impl Store {
    pub(super) fn new(keep: Keep) -> Self {
        Self {
            keep,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Takes one request as the script says; does not return when the script says to hang.
    pub(super) async fn take(&self, transport: Transport, headers: &http::HeaderMap, body: Bytes) -> Verdict {
        let received_at = Instant::now();
        let (decoded, count) = match self.keep {
            Keep::Spans => {
                let decoded = ExportTraceServiceRequest::decode(body.clone()).map(flatten);
                let count = decoded.as_ref().map(Vec::len).map_err(|_| ());
                (decoded.unwrap_or_default(), count)
            }
            Keep::Counts => (Vec::new(), count_spans(body.clone()).map_err(|_| ())),
        };
        let answer = {
            let mut state = self.lock();
            state.request_count += 1;
            if self.keep == Keep::Spans {
                let span_count = count.unwrap_or(0);
                let headers = readable(headers);
                state.request_log.push(ReceivedRequest {
                    transport,
                    received_at,
                    headers,
                    body,
                    span_count,
                });
            }
            state.answers.pop_front().unwrap_or(Answer::Ok)
        };
        self.changed.notify_all();
        let Ok(count) = count else {
            return Verdict::Malformed;
        };
        match answer {
            Answer::Ok => self.accept(decoded, count, 0, String::new()),
            Answer::Delay(delay) => {
                tokio::time::sleep(delay).await;
                self.accept(decoded, count, 0, String::new())
            }
            Answer::Hang => std::future::pending().await,
            Answer::Status(status) => Verdict::Refused {
                status,
                retry_after: None,
            },
            Answer::StatusWithRetry(status, after) => Verdict::Refused {
                status,
                retry_after: Some(after),
            },
            Answer::PartialSuccess { rejected, message } => self.accept(decoded, count, rejected, message),
        }
    }

    fn accept(&self, mut spans: Vec<ReceivedSpan>, count: usize, rejected: u32, message: String) -> Verdict {
        let accepted = count.saturating_sub(usize::try_from(rejected).unwrap_or(usize::MAX));
        spans.truncate(accepted);
        let mut state = self.lock();
        state.spans.append(&mut spans);
        state.span_count += accepted;
        drop(state);
        self.changed.notify_all();
        Verdict::Accepted { rejected, message }
    }

    pub(super) fn spans(&self) -> Vec<ReceivedSpan> {
        self.lock().spans.clone()
    }

    pub(super) fn span_count(&self) -> usize {
        self.lock().span_count
    }

    pub(super) fn request_count(&self) -> usize {
        self.lock().request_count
    }

    pub(super) fn request_log(&self) -> Vec<ReceivedRequest> {
        self.lock().request_log.clone()
    }

    pub(super) fn push_answers(&self, answers: Vec<Answer>) {
        self.lock().answers.extend(answers);
    }

    pub(super) fn wait_for_spans(&self, count: usize, timeout: Duration) -> Result<(), WaitError> {
        let received = self
            .wait_until(timeout, |state| state.span_count >= count)
            .span_count;
        if received >= count {
            return Ok(());
        }
        Err(WaitError {
            expected: count,
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("take the lock")
    }
}

fn readable(headers: &http::HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect()
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

fn each_message(
    mut message: Bytes,
    field: u32,
    visit: &mut dyn FnMut(Bytes) -> Result<(), prost::DecodeError>,
) -> Result<(), prost::DecodeError> {
    while message.has_remaining() {
        let (tag, wire_type) = decode_key(&mut message)?;
        if tag != field || wire_type != WireType::LengthDelimited {
            skip_field(wire_type, tag, &mut message, DecodeContext::default())?;
            continue;
        }
        let length = usize::try_from(decode_varint(&mut message)?).unwrap_or(usize::MAX);
        if length > message.remaining() {
            // Decoding what is cut off gives the error that belongs to it.
            return ExportTraceServiceRequest::decode(&[0x0a, 0x01][..]).map(drop);
        }
        visit(message.split_to(length))?;
    }
    Ok(())
}
