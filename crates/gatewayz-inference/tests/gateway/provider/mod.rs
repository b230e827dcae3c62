//! A provider on a real socket that fails on command: delays, resets, html, limits, broken and endless streams.

mod connection;
mod script;

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use script::{Script, Step};

/// Longest time a test waits for something to be seen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Listens on a free port until the process ends; each connection has a thread of its own.
#[derive(Debug)]
pub struct FaultyProvider {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// One request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Method and path.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// When its body had come.
    pub at: Instant,
}

/// What the provider has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// All requests, in the order in which they came.
    pub requests: Vec<Received>,
    /// Connections opened.
    pub connections: usize,
    /// Answers given to their end, with the connection left open.
    pub completed: usize,
    /// When the caller closed a connection whose answer was not complete.
    pub abandoned: Vec<Instant>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    seen: Seen,
    scripts: VecDeque<Script>,
    otherwise: Option<Script>,
}

impl FaultyProvider {
    /// Starts on a free port of the loopback. Without a script it answers every request with 500.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind a free port");
        let address = listener.local_addr().expect("read the port");
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                shared.change(|state| state.seen.connections += 1);
                std::thread::spawn(move || connection::serve(&stream, &shared));
            }
        });
        Self { address, shared }
    }

    /// A provider whose every answer is `script`.
    pub fn always(script: Script) -> Self {
        let provider = Self::start();
        provider.otherwise(script);
        provider
    }

    /// What goes into a catalog.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Answers one more request with `script`, before [`otherwise`](Self::otherwise) holds.
    pub fn next(&self, script: Script) {
        self.shared.change(|state| state.scripts.push_back(script));
    }

    /// Answers every further request with `script`.
    pub fn otherwise(&self, script: Script) {
        self.shared.change(|state| state.otherwise = Some(script));
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.lock().seen.requests.clone()
    }

    /// Waits until what was seen is as expected, and gives what was looked for.
    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, found: impl Fn(&Seen) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.lock();
        loop {
            if let Some(found) = found(&state.seen) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what}: seen {:?}", state.seen);
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Received {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn next_script(&self) -> Script {
        let mut state = self.lock();
        let scripted = state.scripts.pop_front().or_else(|| state.otherwise.clone());
        scripted.unwrap_or_else(|| Script::json(500, r#"{"error":{"message":"no script"}}"#))
    }
}
