//! The delivery thread: collects, sends, retries, splits, accounts.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::batch::{Batch, Chunk};
use crate::delivery::Control;
use crate::queue::Shared;
use crate::{Attempt, Discard, Failure, Observe, RetryPolicy, Sink};

/// A batch that looks temporarily refused is suspected to be too large at this attempt.
const SPLIT_SUSPECT_ATTEMPT: u32 = 3;

pub(crate) struct Worker<S> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) control: Arc<Control>,
    pub(crate) sink: S,
    pub(crate) policy: RetryPolicy,
    pub(crate) observer: Option<Box<dyn Observe>>,
    random: SmallRng,
    backlog: VecDeque<Chunk>,
}

enum Resolved {
    Delivered,
    Discarded(Discard),
    PartlyDiscarded(Discard, usize),
    Split,
}

impl<S: Sink> Worker<S> {
    pub(crate) fn new(
        shared: Arc<Shared>,
        control: Arc<Control>,
        sink: S,
        policy: RetryPolicy,
        observer: Option<Box<dyn Observe>>,
    ) -> Self {
        Self {
            shared,
            control,
            sink,
            policy,
            observer,
            random: SmallRng::from_os_rng(),
            backlog: VecDeque::new(),
        }
    }

    pub(crate) fn run(mut self) {
        loop {
            let closing = self.control.closing().is_some();
            let flushes_seen = self.control.flushes_requested();
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
            if closing {
                return;
            }
            self.gather(flushes_seen);
        }
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
        let mut stack = vec![Arc::new(batch)];
        while let Some(batch) = stack.pop() {
            match self.resolve(&batch) {
                Resolved::Delivered => self.settle(batch, None),
                Resolved::Discarded(reason) => {
                    let records = batch.len();
                    self.settle(batch, Some((reason, records)));
                }
                Resolved::PartlyDiscarded(reason, records) => {
                    let records = records.min(batch.len());
                    self.settle(batch, Some((reason, records)));
                }
                Resolved::Split => match unshared(batch).split() {
                    Ok((head, tail)) => stack.extend([Arc::new(tail), Arc::new(head)]),
                    Err(single) => self.settle(Arc::new(single), Some((Discard::TooLarge, 1))),
                },
            }
        }
    }

    fn settle(&self, batch: Arc<Batch>, discarded: Option<(Discard, usize)>) {
        let ledger = &self.shared.ledger;
        let lost = discarded.map_or(0, |(_, records)| records);
        let delivered = batch.len() - lost;
        if let Some((reason, records)) = discarded {
            ledger.record_discarded(reason, records);
        }
        if delivered > 0 {
            ledger.record_delivered(delivered);
            if let (Some(observer), Some(oldest)) = (&self.observer, batch.oldest()) {
                observer.delivered(oldest.elapsed());
            }
        }
        self.shared.release(batch.bytes(), batch.len());
        if let Ok(batch) = Arc::try_unwrap(batch) {
            self.shared.recycle(batch.into_chunks());
        }
    }

    fn resolve(&mut self, batch: &Arc<Batch>) -> Resolved {
        let first_attempt = Instant::now();
        let mut failed = 0;
        loop {
            if self
                .control
                .closing()
                .is_some_and(|deadline| Instant::now() >= deadline)
            {
                return Resolved::Discarded(Discard::Shutdown);
            }
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
            if failed >= SPLIT_SUSPECT_ATTEMPT
                && batch.len() > 1
                && batch.bytes() > self.policy.split_suspect_bytes
                && failure.status.starts_with(|first: char| first.is_ascii_digit())
            {
                return Resolved::Split;
            }
            if let Err(reason) = self.back_off(failed, first_attempt, asked, &failure) {
                return Resolved::Discarded(reason);
            }
        }
    }

    fn attempt(&mut self, batch: &Arc<Batch>) -> Attempt {
        let started = Instant::now();
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
            observer.attempt(status_of(&attempt), started.elapsed());
        }
        attempt
    }

    /// Waits before the next attempt; `Err` when the batch is to be given up.
    fn back_off(
        &mut self,
        failed: u32,
        first_attempt: Instant,
        asked: Option<Duration>,
        failure: &Failure,
    ) -> Result<(), Discard> {
        let now = Instant::now();
        let Some(mut pause) = self
            .policy
            .pause(failed, first_attempt, now, asked, &mut self.random)
        else {
            return Err(Discard::RetriesExhausted);
        };
        if let Some(deadline) = self.control.closing() {
            // A shutdown leaves no time for politeness: retry at the floor until the deadline.
            pause = pause.min(self.policy.backoff_min);
            if now + pause >= deadline {
                return Err(Discard::Shutdown);
            }
        }
        if let Some(observer) = &self.observer {
            observer.retry(&failure.status);
        }
        self.shared.ledger.retries.fetch_add(1, Ordering::Relaxed);
        self.control.pause(now + pause);
        Ok(())
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
