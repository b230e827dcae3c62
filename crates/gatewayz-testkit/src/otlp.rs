//! An OTLP trace receiver on real sockets, gRPC and HTTP/protobuf, with scriptable answers.

mod answer;
mod grpc;
mod http;
mod received;
mod store;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

pub use answer::Answer;
pub use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
pub use received::{ReceivedEvent, ReceivedRequest, ReceivedSpan, SpanKind, StatusCode, Transport};
use store::{Keep, Store};

/// Receives traces over gRPC and HTTP on two free ports of the loopback.
///
/// Runs on a thread and a runtime of its own, so that a test which blocks or drops its runtime does not stop
/// it. Dropping the receiver closes both ports and every connection.
#[derive(Debug)]
pub struct Receiver {
    store: Arc<Store>,
    grpc_address: SocketAddr,
    http_address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
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
        Self::run(Keep::Spans, free_port(), free_port())
    }

    /// Starts a receiver that counts spans on the wire without decoding them, for benchmarks: `spans()` and
    /// `request_log()` stay empty.
    ///
    /// # Panics
    /// When the loopback has no free port or no thread can be started.
    pub fn counting() -> Self {
        Self::run(Keep::Counts, free_port(), free_port())
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
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&store);
        let thread = std::thread::Builder::new()
            .name("otlp-receiver".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("build the runtime of the receiver");
                runtime.block_on(async move {
                    tokio::spawn(grpc::serve(grpc_listener, Arc::clone(&served)));
                    tokio::spawn(http::serve(http_listener, served));
                    // An error means that the receiver was dropped, which is the same.
                    let _ = stopped.await;
                });
                runtime.shutdown_background();
            })
            .expect("start the thread of the receiver");
        Self {
            store,
            grpc_address,
            http_address,
            stop: Some(stop),
            thread: Some(thread),
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

    /// Every span accepted so far, in the order of arrival.
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        self.store.spans()
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
        self.store.span_count()
    }

    /// How many export requests came in, whatever they were answered.
    pub fn requests(&self) -> usize {
        self.store.request_count()
    }

    /// Every export request so far, in the order of arrival, whatever it was answered.
    pub fn request_log(&self) -> Vec<ReceivedRequest> {
        self.store.request_log()
    }

    /// Waits until `count` spans are accepted.
    ///
    /// # Errors
    /// When `timeout` passes first; the error says how many arrived.
    pub fn wait_for(&self, count: usize, timeout: Duration) -> Result<(), WaitError> {
        self.store.wait_for_spans(count, timeout)
    }

    /// Waits until `count` export requests came in, and returns whether they did within `timeout`.
    pub fn wait_for_requests(&self, count: usize, timeout: Duration) -> bool {
        self.store.wait_for_requests(count, timeout)
    }

    /// Appends answers for the next requests, one each, over both transports; after them every request is
    /// accepted.
    pub fn answer_next(&self, answers: Vec<Answer>) {
        self.store.push_answers(answers);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A receiver that panicked has failed its test already.
            let _ = thread.join();
        }
    }
}

fn free_port() -> TcpListener {
    bind(0)
}

fn bind(port: u16) -> TcpListener {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("bind a port of the loopback");
    listener
        .set_nonblocking(true)
        .expect("make the listener non-blocking");
    listener
}
