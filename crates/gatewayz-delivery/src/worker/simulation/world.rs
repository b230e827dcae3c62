//! The model: a destination with moods, bursts of traffic, and the clock both live by.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::delivery::Control;
use crate::time::Time;
use crate::{Admission, Attempt, Batch, Discard, Failure, Queue, Severity, Sink};

pub(super) const CAPACITY_BYTES: usize = 40_000;

/// How the destination behaves for a while.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mood {
    Takes {
        millis: u64,
    },
    Refuses,
    Unauthorized,
    Unavailable {
        asks_secs: Option<u64>,
    },
    Hangs,
    /// Takes the batch, and the answer is lost.
    LosesAnswers,
    RejectsSome {
        records: usize,
    },
    TooLargeAbove {
        bytes: usize,
    },
    /// Answers "too large" as Loki does: 500, for ever.
    FailsAbove {
        bytes: usize,
    },
    Panics,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Burst {
    pub(super) after_millis: u64,
    pub(super) records: u64,
    pub(super) bytes: usize,
    pub(super) severity: Severity,
}

/// One attempt as the destination saw it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) ids: Vec<u64>,
    pub(super) bytes: Vec<u8>,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) asked: Duration,
    pub(super) final_answer: bool,
    pub(super) closing: bool,
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) moods: VecDeque<(Mood, Instant)>,
    pub(super) bursts: VecDeque<(Instant, Burst)>,
    pub(super) queue: Queue,
    pub(super) control: Arc<Control>,
    /// When the shutdown begins, and its deadline.
    pub(super) stop: (Instant, Instant),
    pub(super) next_id: u64,
    /// In the order in which they were acknowledged.
    pub(super) acknowledged: Vec<u64>,
    pub(super) refused: u64,
    pub(super) seen: Vec<Seen>,
}

impl World {
    pub(super) fn advance_to(&mut self, until: Instant) {
        while let Some((at, burst)) = self.bursts.front().copied()
            && at <= until
        {
            self.bursts.pop_front();
            self.now = self.now.max(at);
            for _ in 0..burst.records {
                let id = self.next_id.to_le_bytes();
                self.next_id += 1;
                let admission = self.queue.push(burst.severity, |out| {
                    out.extend_from_slice(&id);
                    out.resize(out.len() + burst.bytes, b'.');
                });
                if let Admission::Refused(reason) = admission {
                    assert!(!(burst.severity > Severity::Info && reason == Discard::Shed));
                    self.refused += 1;
                }
            }
        }
        self.now = self.now.max(until);
        assert!(self.queue.0.queued_bytes() <= CAPACITY_BYTES);
        let (at, deadline) = self.stop;
        if self.now >= at {
            self.queue.0.close();
            self.control.close(deadline);
        }
    }

    fn mood(&mut self) -> Mood {
        while let Some((mood, until)) = self.moods.front().copied() {
            if self.now < until {
                return mood;
            }
            self.moods.pop_front();
        }
        Mood::Takes { millis: 1 }
    }
}

#[derive(Clone)]
pub(super) struct Shared(pub(super) Arc<Mutex<World>>);

impl Shared {
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock()
    }
}

impl Time for Shared {
    fn now(&self) -> Instant {
        self.world().now
    }

    fn pause(&self, _control: &Control, until: Instant) {
        let mut world = self.world();
        let (stop, _) = world.stop;
        let woken = if world.now < stop { until.min(stop) } else { until };
        world.advance_to(woken);
    }
}

impl Sink for Shared {
    fn send(&mut self, batch: &Arc<Batch>, deadline: Instant) -> Attempt {
        let mut world = self.world();
        let began = world.now;
        let ids: Vec<u64> = batch
            .records()
            .map(|record| u64::from_le_bytes(record.first_chunk().copied().unwrap_or_default()))
            .collect();
        let mood = world.mood();
        let took = match mood {
            Mood::Takes { millis } => Duration::from_millis(millis),
            Mood::Hangs | Mood::LosesAnswers => deadline.saturating_duration_since(began),
            _ => Duration::from_millis(1),
        };
        let until = (began + took).min(deadline);
        world.advance_to(until);

        let failure = |status: &'static str| Failure::new(status, "modelled");
        let retry = |status, asks: Option<u64>| Attempt::Retry {
            after: asks.map(Duration::from_secs),
            failure: failure(status),
        };
        let mut asked = Duration::ZERO;
        let mut taken = ids.len();
        let attempt = match mood {
            Mood::Takes { millis } if Duration::from_millis(millis) > deadline - began => {
                taken = 0;
                retry("timeout", None)
            }
            Mood::Takes { .. } => Attempt::Delivered,
            Mood::TooLargeAbove { bytes } | Mood::FailsAbove { bytes } if batch.bytes() <= bytes => {
                Attempt::Delivered
            }
            Mood::RejectsSome { records } => {
                let rejected = records.min(ids.len());
                taken = ids.len() - rejected;
                Attempt::PartlyRejected {
                    rejected,
                    failure: failure("partial_success"),
                }
            }
            other => {
                taken = 0;
                match other {
                    Mood::Refuses => Attempt::Rejected(failure("400")),
                    Mood::Unauthorized => Attempt::Rejected(failure("401").unauthorized()),
                    Mood::Unavailable { asks_secs } => {
                        asked = Duration::from_secs(asks_secs.unwrap_or_default());
                        retry("503", asks_secs)
                    }
                    Mood::TooLargeAbove { .. } => Attempt::TooLarge(failure("413")),
                    Mood::FailsAbove { .. } => retry("500", None),
                    Mood::Panics => {
                        let seen = seen(&world, batch, &ids, began, asked, true);
                        world.seen.push(seen);
                        drop(world);
                        panic!("modelled");
                    }
                    _ => retry("timeout", None),
                }
            }
        };
        let final_answer = !matches!(attempt, Attempt::Retry { .. });
        let seen = seen(&world, batch, &ids, began, asked, final_answer);
        world.seen.push(seen);
        world.acknowledged.extend(ids.into_iter().take(taken));
        attempt
    }
}

fn seen(
    world: &World,
    batch: &Batch,
    ids: &[u64],
    began: Instant,
    asked: Duration,
    final_answer: bool,
) -> Seen {
    Seen {
        ids: ids.to_vec(),
        bytes: batch.runs().flatten().copied().collect(),
        began,
        ended: world.now,
        asked,
        final_answer,
        closing: world.control.closing().is_some(),
    }
}
