//! A provider of models on a real socket that fails on command: delays, resets, html, limits, broken and endless
//! streams.
//!
//! It knows nothing of OpenAI's API: every answer is a [`Script`] of the test, byte by byte.

mod connection;
mod script;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use script::{Script, Step};

/// Longest time a test waits for something to be seen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Listens on a free port of the loopback; dropping it closes the port and every connection.
#[derive(Debug)]
pub struct FaultyProvider {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
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
    /// Gone with the thread of the connection, whose last handle must close it.
    streams: Vec<Weak<TcpStream>>,
    is_closed: bool,
}

impl FaultyProvider {
    /// Starts listening. Without a script it answers every request with 500.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a free port");
        let address = listener.local_addr().expect("read the port");
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let stream = Arc::new(stream);
                if !serving.open(&stream) {
                    return;
                }
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || connection::serve(&stream, &shared));
            }
        });
        Self {
            address,
            shared,
            accepting: Some(accepting),
        }
    }

    /// A provider whose every answer is `script`.
    #[must_use]
    pub fn always(script: Script) -> Self {
        let provider = Self::start();
        provider.otherwise(script);
        provider
    }

    /// What goes into a catalog: `http://ADDRESS:PORT/v1`.
    #[must_use]
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

    /// The requests so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.lock().seen.requests.clone()
    }

    /// Waits until `found` finds something in what was seen, and returns it.
    ///
    /// # Panics
    /// When it has not within ten seconds; the message begins with `what`.
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

impl Drop for FaultyProvider {
    fn drop(&mut self) {
        self.shared.change(|state| {
            state.is_closed = true;
            for stream in state.streams.iter().filter_map(Weak::upgrade) {
                // One that is closed already cannot be closed again.
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        // Wakes the thread, which then finds that it is over.
        if TcpStream::connect(self.address).is_ok()
            && let Some(accepting) = self.accepting.take()
        {
            let _ = accepting.join();
        }
    }
}

impl Received {
    /// The value of the first header of this name, which is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    ///
    /// # Panics
    /// When it is not UTF-8.
    #[must_use]
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

    /// Takes a connection in; `false` when no more are taken.
    fn open(&self, stream: &Arc<TcpStream>) -> bool {
        let mut is_open = false;
        self.change(|state| {
            is_open = !state.is_closed;
            if is_open {
                state.seen.connections += 1;
                state.streams.push(Arc::downgrade(stream));
            }
        });
        is_open
    }

    fn next_script(&self) -> Script {
        let mut state = self.lock();
        let scripted = state.scripts.pop_front().or_else(|| state.otherwise.clone());
        scripted.unwrap_or_else(|| Script::json(500, r#"{"error":{"message":"no script"}}"#))
    }
}
