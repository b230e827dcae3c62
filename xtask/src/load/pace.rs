//! Threads that send requests: as many as answers are awaited, so that a slow answer holds up no other request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};

use super::mix::{COMPLETIONS, Request};
use super::tally::{Outcome, Tally};
use crate::http::{Answer, Fault, Server};

/// Most answers that are awaited at a time; what is due beyond that is counted and not sent.
const IN_FLIGHT_MAX: usize = 512;

#[derive(Debug)]
pub(super) struct Senders {
    shared: Arc<Shared>,
    queue: Sender<Request>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    server: Server,
    tally: Arc<Tally>,
    queue: Mutex<Receiver<Request>>,
    in_flight: AtomicUsize,
}

impl Senders {
    pub(super) fn new(server: Server, tally: Arc<Tally>) -> Self {
        let (queue, receiver) = mpsc::channel();
        Self {
            shared: Arc::new(Shared {
                server,
                tally,
                queue: Mutex::new(receiver),
                in_flight: AtomicUsize::new(0),
            }),
            queue,
            threads: Mutex::new(Vec::new()),
        }
    }

    /// Has the request sent at once, by a thread that is free or by a new one.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(super) fn send(&self, request: Request) -> Result<()> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let in_flight = self.shared.in_flight.load(Ordering::Relaxed);
        if in_flight >= IN_FLIGHT_MAX {
            self.shared.tally.add(Outcome::NotSent);
            return Ok(());
        }
        if in_flight == threads.len() {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().spawn(move || shared.send_all());
            threads.push(thread.context("start a thread")?);
        }
        self.shared.in_flight.fetch_add(1, Ordering::Relaxed);
        self.queue.send(request).context("hand a request over")
    }

    /// Waits for the answers to come.
    pub(super) fn finish(self) {
        drop(self.queue);
        for thread in self.threads.into_inner().unwrap_or_else(PoisonError::into_inner) {
            // A panic in it has been reported by then.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn send_all(&self) {
        loop {
            let request = self.queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(request) = request else { return };
            self.tally.add(send(&self.server, &request));
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn send(server: &Server, request: &Request) -> Outcome {
    let answer = match request {
        Request::Get(path) => server.answer(path, &[], &[]),
        Request::Post { path, body } => server.post(path, body),
        Request::Stream { body } => server.post(COMPLETIONS, body),
    };
    match (request, answer) {
        (Request::Stream { .. }, Ok(answer)) if is_cut(&answer) => Outcome::CutStream,
        (_, Ok(answer)) => Outcome::Answered(answer.status),
        (_, Err(Fault::Slow { .. })) => Outcome::TooSlow,
        (_, Err(_)) => Outcome::NoAnswer,
    }
}

fn is_cut(answer: &Answer) -> bool {
    answer.status == 200 && !answer.body.trim_end().ends_with("data: [DONE]")
}
