//! The delivery thread: collects, sends, retries, splits, accounts.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::batch::{Batch, Chunk};
use crate::delivery::Control;
use crate::queue::Shared;
use crate::time::Time;
use crate::{Attempt, Discard, Failure, Observe, RetryPolicy, Sink};

/// A batch that looks temporarily refused is suspected to be too large at this attempt.
const SPLIT_SUSPECT_ATTEMPT: u32 = 3;

pub(crate) struct Worker<S, T> {
    shared: Arc<Shared>,
    control: Arc<Control>,
    sink: S,
    time: T,
    policy: RetryPolicy,
    observer: Option<Box<dyn Observe>>,
    random: SmallRng,
    backlog: VecDeque<Chunk>,
    /// Until when the destination is left alone, whichever batch is next; `None` while it answers.
    not_before: Option<Instant>,
    /// Records that the queue had refused when the observer last saw the figures.
    refused_shown: u64,
    /// Whether the observer last saw a failed attempt.
    failure_shown: bool,
}

enum Resolved {
    Delivered,
    Discarded(Discard),
    PartlyDiscarded(Discard, usize),
    Split,
}

/// A batch, or a half of one, with the attempts it has behind it.
struct Pending {
    batch: Arc<Batch>,
    /// When the first attempt began, `None` before it; halves keep it, so that splitting does not lengthen the window.
    first_attempt: Option<Instant>,
}

/// The shutdown leaves no time for another attempt.
struct Closed;

impl<S: Sink, T: Time> Worker<S, T> {
    pub(crate) fn new(
        shared: Arc<Shared>,
        control: Arc<Control>,
        sink: S,
        time: T,
        policy: RetryPolicy,
        observer: Option<Box<dyn Observe>>,
    ) -> Self {
        Self {
            shared,
            control,
            sink,
            time,
            policy,
            observer,
            random: SmallRng::from_os_rng(),
            backlog: VecDeque::new(),
            not_before: None,
            refused_shown: 0,
            failure_shown: false,
        }
    }

    /// Runs until the shutdown.
    pub(crate) fn run(mut self) {
        let mut flushes_seen = 0;
        loop {
            // First of all, or a record that came before the thread would be sent without company.
            self.gather(flushes_seen);
            flushes_seen = self.control.flushes_requested();
            if self.turn(flushes_seen) {
                return;
            }
        }
    }

    /// Sends everything that is queued; whether it was the last time.
    fn turn(&mut self, flushes_seen: u64) -> bool {
        let closing = self.control.closing().is_some();
        self.shared.collect(&mut self.backlog);
        // The shards were emptied one after the other; a destination may refuse what is much older than what
        // it has.
        self.backlog.make_contiguous().sort_by_key(|chunk| chunk.opened);
        let settings = self.shared.settings;
        while let Some(batch) = Batch::take(
            &mut self.backlog,
            settings.batch_max_bytes,
            settings.batch_max_records,
        ) {
            self.deliver(batch);
        }
        self.control.flushes_done(flushes_seen);
        closing
    }

    /// Sleeps until there is something to send and it has had company for `linger`.
    fn gather(&self, flushes_seen: u64) {
        while self.shared.queued_bytes() == 0 && !self.control.hurried(flushes_seen) {
            self.shared.sleep(1, None);
        }
        let deadline = Instant::now() + self.shared.settings.linger;
        while self.shared.queued_bytes() < self.shared.settings.batch_bytes
            && !self.control.hurried(flushes_seen)
            && Instant::now() < deadline
        {
            self.shared
                .sleep(self.shared.settings.batch_bytes, Some(deadline));
        }
    }

    fn deliver(&mut self, batch: Batch) {
        let pending = |batch, first_attempt| Pending {
            batch: Arc::new(batch),
            first_attempt,
        };
        let mut stack = vec![pending(batch, None)];
        while let Some(mut next) = stack.pop() {
            match self.resolve(&mut next) {
                Resolved::Delivered => self.settle(next.batch, None),
                Resolved::Discarded(reason) => {
                    let records = next.batch.len();
                    self.settle(next.batch, Some((reason, records)));
                }
                Resolved::PartlyDiscarded(reason, records) => {
                    let records = records.min(next.batch.len());
                    self.settle(next.batch, Some((reason, records)));
                }
                Resolved::Split => match unshared(next.batch).split() {
                    Ok((head, tail)) => {
                        stack.extend([tail, head].map(|half| pending(half, next.first_attempt)));
                    }
                    Err(single) => self.settle(Arc::new(single), Some((Discard::TooLarge, 1))),
                },
            }
        }
    }

    fn settle(&mut self, batch: Arc<Batch>, discarded: Option<(Discard, usize)>) {
        let ledger = &self.shared.ledger;
        let lost = discarded.map_or(0, |(_, records)| records);
        let delivered = batch.len() - lost;
        if let Some((reason, records)) = discarded {
            ledger.record_discarded(reason, records);
        }
        if delivered > 0 {
            ledger.record_delivered(delivered);
            if let (Some(observer), Some(oldest)) = (&mut self.observer, batch.oldest()) {
                observer.delivered(oldest, self.time.now());
            }
        }
        self.shared.release(batch.bytes(), batch.len());
        if let Ok(batch) = Arc::try_unwrap(batch) {
            self.shared.recycle(batch.into_chunks());
        }
        // All is well almost always, and adding up the shards has a price.
        if discarded.is_some() || self.failure_shown || self.shared.refused() != self.refused_shown {
            self.show_figures();
        }
    }

    fn show_figures(&mut self) {
        let status = self.shared.status();
        self.refused_shown = self.shared.refused();
        self.failure_shown = status.last_error.is_some();
        if let Some(observer) = &mut self.observer {
            observer.figures(&status);
        }
    }

    fn resolve(&mut self, pending: &mut Pending) -> Resolved {
        let batch = &pending.batch;
        let mut failed = 0;
        loop {
            if self.wait_turn().is_err() {
                return Resolved::Discarded(Discard::Shutdown);
            }
            let first_attempt = *pending.first_attempt.get_or_insert_with(|| self.time.now());
            let (asked, failure) = match self.attempt(batch) {
                Attempt::Delivered => {
                    self.shared.ledger.record_success();
                    return Resolved::Delivered;
                }
                Attempt::PartlyRejected { rejected, failure } => {
                    self.shared.ledger.record_success();
                    self.shared.ledger.record_failure(&failure);
                    return Resolved::PartlyDiscarded(Discard::PartialSuccess, rejected);
                }
                Attempt::Rejected(failure) => {
                    self.shared.ledger.record_failure(&failure);
                    let reason = if failure.unauthorized {
                        Discard::Unauthorized
                    } else {
                        Discard::Rejected
                    };
                    return Resolved::Discarded(reason);
                }
                Attempt::TooLarge(failure) => {
                    self.shared.ledger.record_failure(&failure);
                    return Resolved::Split;
                }
                Attempt::Retry { after, failure } => (after, failure),
            };
            failed += 1;
            self.shared.ledger.record_failure(&failure);
            self.show_figures();
            let now = self.time.now();
            let pause = self.policy.pause(failed, asked, &mut self.random);
            self.not_before = Some(now + pause);
            let elapsed = now.saturating_duration_since(first_attempt);
            if self.policy.gives_up(failed, elapsed, pause, asked.is_some()) {
                return Resolved::Discarded(Discard::RetriesExhausted);
            }
            if let Some(observer) = &self.observer {
                observer.retry(&failure.status);
            }
            self.shared.ledger.retries.fetch_add(1, Ordering::Relaxed);
            if failed >= SPLIT_SUSPECT_ATTEMPT
                && batch.len() > 1
                && batch.bytes() > self.policy.split_suspect_bytes
                && failure.status.starts_with(|first: char| first.is_ascii_digit())
            {
                return Resolved::Split;
            }
        }
    }

    /// Waits until the destination may be asked; `Err` when the shutdown leaves no time for it.
    fn wait_turn(&mut self) -> Result<(), Closed> {
        if self.control.closing().is_none()
            && let Some(not_before) = self.not_before
        {
            self.time.pause(&self.control, not_before);
        }
        let not_before = self.not_before.take();
        let Some(deadline) = self.control.closing() else {
            return Ok(());
        };
        let now = self.time.now();
        // A shutdown leaves no time for politeness: it retries at the floor until its deadline.
        let floor = now + self.policy.backoff_min;
        let next = not_before.map_or(now, |not_before| not_before.clamp(now, floor));
        if next >= deadline {
            return Err(Closed);
        }
        if next > now {
            self.time.pause(&self.control, next);
        }
        Ok(())
    }

    fn attempt(&mut self, batch: &Arc<Batch>) -> Attempt {
        let started = self.time.now();
        let mut deadline = started + self.policy.attempt_timeout;
        if let Some(closing) = self.control.closing() {
            deadline = deadline.min(closing);
        }
        self.shared.ledger.in_flight.store(true, Ordering::Relaxed);
        let sink = &mut self.sink;
        // A sink that panics must not end the thread, or every later record would wait for ever.
        let attempt = catch_unwind(AssertUnwindSafe(|| sink.send(batch, deadline)))
            .unwrap_or_else(|_| Attempt::Rejected(Failure::new("panic", "the sink panicked")));
        self.shared.ledger.in_flight.store(false, Ordering::Relaxed);
        if let Some(observer) = &self.observer {
            let took = self.time.now().saturating_duration_since(started);
            observer.attempt(status_of(&attempt), took);
        }
        attempt
    }
}

fn status_of(attempt: &Attempt) -> &str {
    match attempt {
        Attempt::Delivered => "ok",
        Attempt::PartlyRejected { failure, .. }
        | Attempt::Rejected(failure)
        | Attempt::TooLarge(failure)
        | Attempt::Retry { failure, .. } => &failure.status,
    }
}

/// The batch itself; copied if a sink that gave up still holds it.
fn unshared(batch: Arc<Batch>) -> Batch {
    Arc::try_unwrap(batch).unwrap_or_else(|shared| Batch::from_records(shared.records()))
}

#[cfg(test)]
mod simulation;
