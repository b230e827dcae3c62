//! What went over the sockets of a receiver.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct Traffic {
    counts: Mutex<Counts>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) connections: usize,
    pub(crate) closed_connections: usize,
    pub(crate) open_requests: usize,
    pub(crate) max_concurrent_requests: usize,
    /// Bodies as they came, before decompression.
    pub(crate) bytes_received: u64,
    /// Bodies of answers.
    pub(crate) bytes_sent: u64,
}

/// Counts a connection as open until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection(Arc<Traffic>);

/// Counts a request as open until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenRequest(Arc<Traffic>);

impl Traffic {
    pub(crate) fn open_connection(self: &Arc<Self>) -> OpenConnection {
        self.change(|counts| counts.connections += 1);
        OpenConnection(Arc::clone(self))
    }

    pub(crate) fn open_request(self: &Arc<Self>) -> OpenRequest {
        self.change(|counts| {
            counts.open_requests += 1;
            counts.max_concurrent_requests = counts.max_concurrent_requests.max(counts.open_requests);
        });
        OpenRequest(Arc::clone(self))
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.change(|counts| counts.bytes_received += bytes as u64);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.change(|counts| counts.bytes_sent += bytes as u64);
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.lock()
    }

    /// Waits for a fact and returns whether it came true within `timeout`.
    pub(crate) fn wait_until(&self, timeout: Duration, fact: impl Fn(&Counts) -> bool) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |counts| !fact(counts));
        let counts = waited.expect("take the lock").0;
        fact(&counts)
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("take the lock")
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.change(|counts| counts.closed_connections += 1);
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.change(|counts| counts.open_requests -= 1);
    }
}
