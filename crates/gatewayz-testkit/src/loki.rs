//! A Loki on a real socket as far as a push sees it, with scriptable answers.
//!
//! Its rules are those that Loki 3.7 showed by experiment, errors included: what is wrong with the form of a push
//! loses all of it, what is wrong with a line or a stream loses that line or stream, and the answer is the same
//! plain 400.

mod answer;
mod decode;
mod received;
mod rules;
mod store;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

pub use answer::{Answer, RetryAfter};
pub use received::{Line, Pairs, ReceivedRequest};
pub use rules::{Limits, Rate};
use store::{Keep, Store};

use crate::background::{Background, bind};
use crate::serve::{Backend, serve};

/// Receives pushes on a port of the loopback and keeps every line that Loki would keep.
///
/// Runs on a thread and a runtime of its own. Dropping the receiver closes the port and every connection. A body
/// above 64 MiB, compressed or not, is refused with 413.
#[derive(Debug)]
pub struct Receiver {
    store: Arc<Store>,
    address: SocketAddr,
    _thread: Background,
}

/// The lines waited for did not arrive in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("wait for {expected} lines: {received} arrived in {waited:?}")]
pub struct WaitError {
    /// Lines waited for.
    pub expected: usize,
    /// Lines that were there when the time was over.
    pub received: usize,
    /// How long the caller waited.
    pub waited: Duration,
}

impl Receiver {
    /// Starts a receiver with Loki's default limits on a free port.
    ///
    /// # Panics
    /// When the loopback has no free port or no thread can be started.
    pub fn start() -> Self {
        Self::with_limits(Limits::default())
    }

    /// Starts a receiver on the given port of the loopback, as one that comes back after an outage; it has
    /// forgotten everything.
    ///
    /// # Panics
    /// When the port is taken or no thread can be started.
    pub fn start_on(port: u16) -> Self {
        Self::run(Store::new(Keep::Lines, Limits::default()), bind(port))
    }

    /// Starts a receiver that counts lines without keeping any, for benchmarks: it has no limits but those of a
    /// body, and `lines()` and `requests()` stay empty.
    ///
    /// # Panics
    /// When the loopback has no free port or no thread can be started.
    pub fn counting() -> Self {
        Self::run(Store::new(Keep::Counts, Limits::default()), bind(0))
    }

    /// Starts a receiver with these limits on a free port.
    ///
    /// # Panics
    /// When the loopback has no free port or no thread can be started.
    pub fn with_limits(limits: Limits) -> Self {
        Self::run(Store::new(Keep::Lines, limits), bind(0))
    }

    fn run(store: Store, listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("read the bound address");
        let store = Arc::new(store);
        let served = Arc::clone(&store);
        Self {
            store,
            address,
            _thread: Background::start("loki-receiver", serve(listener, served)),
        }
    }

    /// Base URL, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// URL of a push, `/loki/api/v1/push` under [`url`](Self::url).
    pub fn push_url(&self) -> String {
        format!("http://{}/loki/api/v1/push", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every line kept so far, repeats included, in the order of arrival.
    pub fn lines(&self) -> Vec<Arc<Line>> {
        self.store.lock().lines.clone()
    }

    /// How many lines were kept so far, repeats included.
    pub fn line_count(&self) -> usize {
        self.store.lock().line_count
    }

    /// Every line once, in the order of arrival: as Loki stores them, the repeat of a line with the same stream,
    /// time, text and metadata is no second line.
    pub fn unique_lines(&self) -> Vec<Arc<Line>> {
        let mut left = self.store.lock().unique.clone();
        let mut lines = self.lines();
        lines.retain(|line| left.remove(line));
        lines
    }

    /// How many different lines were kept so far; 0 when the receiver only counts.
    pub fn unique_count(&self) -> usize {
        self.store.lock().unique.len()
    }

    /// How many kept lines were repeats of one that was there; 0 when the receiver only counts.
    pub fn duplicate_count(&self) -> usize {
        let state = self.store.lock();
        state.lines.len() - state.unique.len()
    }

    /// Every push so far, in the order of arrival, whatever it was answered.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.store.lock().requests.clone()
    }

    /// How many pushes came in, whatever they were answered.
    pub fn request_count(&self) -> usize {
        self.store.lock().request_count
    }

    /// Waits until `count` lines are kept, repeats included.
    ///
    /// # Errors
    /// When `timeout` passes first; the error says how many arrived.
    pub fn wait_for(&self, count: usize, timeout: Duration) -> Result<(), WaitError> {
        self.store.wait_for(count, timeout, |state| state.line_count)
    }

    /// Waits until `count` different lines are kept.
    ///
    /// # Errors
    /// When `timeout` passes first; the error says how many arrived.
    pub fn wait_for_unique(&self, count: usize, timeout: Duration) -> Result<(), WaitError> {
        self.store.wait_for(count, timeout, |state| state.unique.len())
    }

    /// Waits until `count` pushes came in, and returns whether they did within `timeout`.
    pub fn wait_for_requests(&self, count: usize, timeout: Duration) -> bool {
        self.store
            .wait_until(timeout, |state| state.request_count >= count)
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> usize {
        self.store.traffic().counts().connections
    }

    /// Waits until `count` connections have ended, and returns whether they did within `timeout`.
    pub fn wait_for_closed(&self, count: usize, timeout: Duration) -> bool {
        self.store
            .traffic()
            .wait_until(timeout, |counts| counts.closed_connections >= count)
    }

    /// The most requests that were open at the same time: from their head to the end of their answer, or until
    /// their sender left.
    pub fn max_concurrent_requests(&self) -> usize {
        self.store.traffic().counts().max_concurrent_requests
    }

    /// Bytes of bodies so far, as they were sent.
    pub fn bytes_received(&self) -> u64 {
        self.store.traffic().counts().bytes_received
    }

    /// Bytes of bodies that senders, or the buffers of their sockets, have taken of the answers.
    pub fn bytes_answered(&self) -> u64 {
        self.store.traffic().counts().bytes_sent
    }

    /// Appends answers for the next pushes, one each.
    pub fn answer_next(&self, answers: Vec<Answer>) {
        self.store.lock().script.push(answers);
    }

    /// Answers every push so, once those of [`answer_next`](Self::answer_next) are used up.
    pub fn answer_always(&self, answer: Answer) {
        self.store.lock().script.set_always(answer);
    }

    /// Forgets every scripted answer.
    pub fn answer_normally(&self) {
        self.store.lock().script.clear();
    }
}
