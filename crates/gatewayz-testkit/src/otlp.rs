//! An OTLP trace receiver on real sockets, gRPC and HTTP/protobuf, with scriptable answers.

mod answer;
mod grpc;
mod http;
mod received;
mod store;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

pub use answer::Answer;
pub use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
pub use received::{ReceivedEvent, ReceivedRequest, ReceivedSpan, SpanKind, StatusCode, Transport};
use store::{Keep, Store};

use crate::background::{Background, bind};
use crate::serve::serve;

/// Receives traces over gRPC and HTTP on two free ports of the loopback.
///
/// Runs on a thread and a runtime of its own, so that a test which blocks or drops its runtime does not stop
/// it. Dropping the receiver closes both ports and every connection.
#[derive(Debug)]
pub struct Receiver {
    store: Arc<Store>,
    grpc_address: SocketAddr,
    http_address: SocketAddr,
    _thread: Background,
}

/// The spans waited for did not arrive in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("wait for {expected} spans: {received} arrived in {waited:?}")]
pub struct WaitError {
    /// Spans waited for.
    pub expected: usize,
    /// Spans that were there when the time was over.
    pub received: usize,
    /// How long the caller waited.
    pub waited: Duration,
}

impl Receiver {
    /// Starts a receiver that keeps every span.
    ///
    /// # Panics
    /// When the loopback has no free port or no thread can be started.
    pub fn start() -> Self {
        Self::run(Keep::Spans, bind(0), bind(0))
    }

    /// Starts a receiver that counts spans on the wire without decoding them, for benchmarks: `spans()` and
    /// `request_log()` stay empty.
    ///
    /// # Panics
    /// When the loopback has no free port or no thread can be started.
    pub fn counting() -> Self {
        Self::run(Keep::Counts, bind(0), bind(0))
    }

    /// Starts a receiver that keeps every span on the given ports of the loopback, as one that comes back after
    /// an outage; 0 means a free port.
    ///
    /// # Panics
    /// When a port is taken or no thread can be started.
    pub fn start_on(grpc_port: u16, http_port: u16) -> Self {
        Self::run(Keep::Spans, bind(grpc_port), bind(http_port))
    }

    fn run(keep: Keep, grpc_listener: TcpListener, http_listener: TcpListener) -> Self {
        let grpc_address = grpc_listener.local_addr().expect("read the bound address");
        let http_address = http_listener.local_addr().expect("read the bound address");
        let store = Arc::new(Store::new(keep));
        let served = Arc::clone(&store);
        let serving = async move {
            tokio::join!(
                grpc::serve(grpc_listener, Arc::clone(&served)),
                serve(http_listener, served)
            );
        };
        Self {
            store,
            grpc_address,
            http_address,
            _thread: Background::start("otlp-receiver", serving),
        }
    }

    /// Base URL of the gRPC side, `http://127.0.0.1:PORT`.
    pub fn grpc_endpoint(&self) -> String {
        format!("http://{}", self.grpc_address)
    }

    /// Base URL of the HTTP side, `http://127.0.0.1:PORT`; traces go to `/v1/traces` under it.
    pub fn http_endpoint(&self) -> String {
        format!("http://{}", self.http_address)
    }

    /// Where the gRPC side listens.
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc_address
    }

    /// Where the HTTP side listens.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Every span accepted so far, in the order of arrival.
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        self.store.lock().spans.clone()
    }

    /// Accepted spans with this name, in the order of arrival.
    pub fn spans_named(&self, name: &str) -> Vec<ReceivedSpan> {
        self.spans()
            .into_iter()
            .filter(|span| span.name == name)
            .collect()
    }

    /// How many spans were accepted so far.
    pub fn span_count(&self) -> usize {
        self.store.lock().span_count
    }

    /// How many different spans were accepted so far, by trace and span id; 0 when the receiver only counts.
    pub fn unique_span_count(&self) -> usize {
        self.store.lock().unique.len()
    }

    /// How many accepted spans had the trace and span id of one that was there; 0 when the receiver only counts.
    pub fn duplicate_span_count(&self) -> usize {
        let state = self.store.lock();
        state.spans.len() - state.unique.len()
    }

    /// How many export requests came in, whatever they were answered.
    pub fn requests(&self) -> usize {
        self.store.lock().request_count
    }

    /// Every export request so far, in the order of arrival, whatever it was answered.
    pub fn request_log(&self) -> Vec<ReceivedRequest> {
        self.store.lock().request_log.clone()
    }

    /// Waits until `count` spans are accepted.
    ///
    /// # Errors
    /// When `timeout` passes first; the error says how many arrived.
    pub fn wait_for(&self, count: usize, timeout: Duration) -> Result<(), WaitError> {
        self.store.wait_for(count, timeout, |state| state.span_count)
    }

    /// Waits until `count` different spans are accepted.
    ///
    /// # Errors
    /// When `timeout` passes first; the error says how many arrived.
    pub fn wait_for_unique(&self, count: usize, timeout: Duration) -> Result<(), WaitError> {
        self.store.wait_for(count, timeout, |state| state.unique.len())
    }

    /// Waits until `count` export requests came in, and returns whether they did within `timeout`.
    pub fn wait_for_requests(&self, count: usize, timeout: Duration) -> bool {
        self.store.wait_for_requests(count, timeout)
    }

    /// How many connections were opened so far, over both transports.
    pub fn connections(&self) -> usize {
        self.store.traffic.counts().connections
    }

    /// Waits until `count` connections have ended, and returns whether they did within `timeout`.
    pub fn wait_for_closed(&self, count: usize, timeout: Duration) -> bool {
        self.store
            .traffic
            .wait_until(timeout, |counts| counts.closed_connections >= count)
    }

    /// The most requests that were open at the same time: from their head to the end of their answer (over gRPC
    /// to its head), or until their sender left.
    pub fn max_concurrent_requests(&self) -> usize {
        self.store.traffic.counts().max_concurrent_requests
    }

    /// Bytes of bodies that senders, or the buffers on the way to them, have taken of the answers over HTTP and
    /// of the broken ones over gRPC.
    pub fn bytes_answered(&self) -> u64 {
        self.store.traffic.counts().bytes_sent
    }

    /// Appends answers for the next requests, one each, over both transports.
    pub fn answer_next(&self, answers: Vec<Answer>) {
        self.store.lock().script.push(answers);
    }

    /// Answers every request so, once those of [`answer_next`](Self::answer_next) are used up.
    pub fn answer_always(&self, answer: Answer) {
        self.store.lock().script.set_always(answer);
    }

    /// Forgets every scripted answer.
    pub fn answer_normally(&self) {
        self.store.lock().script.clear();
    }
}
