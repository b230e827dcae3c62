//! Lets calls for the same key wait for the first of them instead of asking the provider too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::Key;

/// The calls under way, by key.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<Key, watch::Receiver<Landed>>>);

/// What a call is for its key.
#[derive(Debug)]
pub(crate) enum Joined {
    /// The first: others wait for it.
    First(Flight),
    /// One of the others.
    Waiting(Waiting),
}

/// The first call. Dropping it says that it was given up.
#[derive(Debug)]
pub(crate) struct Flight {
    flights: Arc<Flights>,
    key: Key,
    sender: watch::Sender<Landed>,
}

/// A call that waits.
#[derive(Debug)]
pub(crate) struct Waiting(watch::Receiver<Landed>);

/// Why the wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Landed {
    /// The answer is kept, though not for everybody: an entry may be too large, or too old for some.
    Kept,
    /// The answer cannot be kept.
    NotKept,
    /// The first call was given up before it had an answer: another one may be the first.
    GivenUp,
}

impl Flights {
    pub(super) fn join(self: &Arc<Self>, key: Key) -> Joined {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(receiver) = flights.get(&key) {
            return Joined::Waiting(Waiting(receiver.clone()));
        }
        let (sender, receiver) = watch::channel(Landed::GivenUp);
        flights.insert(key, receiver);
        Joined::First(Flight {
            flights: Arc::clone(self),
            key,
            sender,
        })
    }
}

impl Flight {
    /// Tells the others how it ended.
    pub(crate) fn land(self, landed: Landed) {
        self.sender.send_replace(landed);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut flights = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        flights.remove(&self.key);
    }
}

impl Waiting {
    /// Waits until the first call is over.
    pub(crate) async fn landed(mut self) -> Landed {
        // Ends with an error when the first call is dropped, which is when it is over.
        while self.0.changed().await.is_ok() {}
        *self.0.borrow()
    }
}
