//! The delivery against a model of a destination, on a simulated clock: no interleaving of traffic, outages and
//! answers may lose a record from the books, break the order, or leave the retry policy.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::Worker;
use crate::delivery::Control;
use crate::time::Time;
use crate::{
    Admission, Attempt, Batch, Discard, Failure, Observe, Queue, QueueSettings, RetryPolicy, Severity, Sink,
    Status,
};

const SECOND: Duration = Duration::from_secs(1);
const CAPACITY_BYTES: usize = 40_000;
const AUDIT_RESERVE_BYTES: usize = 4_000;
const BATCH_MAX_BYTES: usize = 8_000;
const SPLIT_SUSPECT_BYTES: usize = 2_000;

/// How the destination behaves for a while.
#[derive(Debug, Clone, Copy)]
enum Mood {
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
struct Burst {
    after_millis: u64,
    records: u64,
    bytes: usize,
    severity: Severity,
}

/// One attempt as the destination saw it.
#[derive(Debug, Clone)]
struct Seen {
    ids: Vec<u64>,
    bytes: Vec<u8>,
    began: Instant,
    ended: Instant,
    asked: Duration,
    final_answer: bool,
    closing: bool,
}

struct World {
    now: Instant,
    moods: VecDeque<(Mood, Instant)>,
    bursts: VecDeque<(Instant, Burst)>,
    queue: Queue,
    control: Arc<Control>,
    /// When the shutdown begins, and its deadline.
    stop: (Instant, Instant),
    next_id: u64,
    /// In the order in which they were acknowledged.
    acknowledged: Vec<u64>,
    refused: u64,
    seen: Vec<Seen>,
}

impl World {
    fn advance_to(&mut self, until: Instant) {
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
struct Shared(Arc<Mutex<World>>);

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
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

/// Looks at the books whenever they are shown.
struct Auditor;

impl Observe for Auditor {
    fn attempt(&self, _status: &str, _took: Duration) {}

    fn retry(&self, _status: &str) {}

    fn delivered(&self, _age: Duration) {}

    fn figures(&mut self, status: &Status) {
        assert_balanced(status);
    }
}

#[track_caller]
fn assert_balanced(status: &Status) {
    let accounted = status.delivered + status.discarded_total() + status.queued;
    assert_eq!(status.created, accounted, "{status:?}");
}

/// Consecutive attempts of one batch.
#[track_caller]
fn assert_policy_kept(seen: &[Seen], policy: &RetryPolicy) {
    let mut attempts = 0;
    let mut first = None;
    for (attempt, next) in seen.iter().zip(seen.iter().skip(1)) {
        attempts += 1;
        let first_began = *first.get_or_insert(attempt.began);
        if next.ids != attempt.ids {
            (attempts, first) = (0, None);
            continue;
        }
        assert!(!attempt.final_answer, "a final answer was asked for again");
        assert_eq!(
            next.bytes, attempt.bytes,
            "an attempt was repeated with other bytes"
        );
        assert!(attempts < policy.max_attempts);
        let pause = next.began - attempt.ended;
        if next.closing {
            continue;
        }
        assert!(pause >= policy.backoff_min.max(attempt.asked.min(policy.retry_after_max)));
        assert!(pause <= policy.backoff_max.max(policy.retry_after_max));
        assert!(next.began - first_began <= policy.max_elapsed);
    }
}

fn mood() -> impl Strategy<Value = Mood> {
    prop_oneof![
        (1_u64..2_000).prop_map(|millis| Mood::Takes { millis }),
        Just(Mood::Refuses),
        Just(Mood::Unauthorized),
        proptest::option::of(0_u64..200).prop_map(|asks_secs| Mood::Unavailable { asks_secs }),
        Just(Mood::Hangs),
        Just(Mood::LosesAnswers),
        (0_usize..20).prop_map(|records| Mood::RejectsSome { records }),
        (0_usize..6_000).prop_map(|bytes| Mood::TooLargeAbove { bytes }),
        (0_usize..6_000).prop_map(|bytes| Mood::FailsAbove { bytes }),
        Just(Mood::Panics),
    ]
}

fn burst() -> impl Strategy<Value = Burst> {
    let severity = prop_oneof![
        Just(Severity::Debug),
        Just(Severity::Info),
        Just(Severity::Warn),
        Just(Severity::Error),
        Just(Severity::Audit),
    ];
    (0_u64..20_000, 1_u64..120, 0_usize..400, severity).prop_map(
        |(after_millis, records, bytes, severity)| Burst {
            after_millis,
            records,
            bytes,
            severity,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_happens_every_record_is_accounted_for_in_order_and_within_the_policy(
        moods in proptest::collection::vec((mood(), 1_u64..400), 0..8),
        bursts in proptest::collection::vec(burst(), 1..20),
        stops_after_secs in 0_u64..900,
        flush_secs in 0_u64..10,
    ) {
        let policy = RetryPolicy { split_suspect_bytes: SPLIT_SUSPECT_BYTES, ..RetryPolicy::default() };
        let settings = QueueSettings {
            capacity_bytes: CAPACITY_BYTES,
            audit_reserve_bytes: AUDIT_RESERVE_BYTES,
            batch_max_bytes: BATCH_MAX_BYTES,
            ..QueueSettings::default()
        };
        let queue = Queue::new("modelled", settings);
        let control = Arc::new(Control::default());
        let start = Instant::now();
        let stops_at = start + Duration::from_secs(stops_after_secs);
        let deadline = stops_at + Duration::from_secs(flush_secs);
        let mut at = start;
        let moods = moods.into_iter().map(|(mood, secs)| {
            at += Duration::from_secs(secs);
            (mood, at)
        });
        let moods = moods.collect();
        let mut at = start;
        let bursts = bursts.into_iter().map(|burst| {
            at += Duration::from_millis(burst.after_millis);
            (at, burst)
        });
        let world = Shared(Arc::new(Mutex::new(World {
            now: start,
            moods,
            bursts: bursts.collect(),
            queue: queue.clone(),
            control: Arc::clone(&control),
            stop: (stops_at, deadline),
            next_id: 0,
            acknowledged: Vec::new(),
            refused: 0,
            seen: Vec::new(),
        })));
        let mut worker = Worker::new(
            Arc::clone(&queue.0),
            Arc::clone(&control),
            world.clone(),
            world.clone(),
            policy,
            Some(Box::new(Auditor)),
        );

        world.world().advance_to(start);
        while !worker.turn(0) {
            let next = world.now() + SECOND;
            world.world().advance_to(next);
        }
        let status = queue.0.status();

        let world = world.world();
        assert_balanced(&status);
        prop_assert_eq!(status.created, world.next_id);
        prop_assert_eq!((status.queued, status.queued_bytes), (0, 0));
        prop_assert_eq!(status.delivered, world.acknowledged.len() as u64);
        let enqueue_failed: u64 = Discard::ALL.into_iter().filter(|reason| reason.is_enqueue()).map(|reason| status.discarded_for(reason)).sum();
        prop_assert_eq!(enqueue_failed, world.refused);
        let unique: BTreeSet<u64> = world.acknowledged.iter().copied().collect();
        prop_assert_eq!(unique.len(), world.acknowledged.len(), "a record was acknowledged twice");
        prop_assert!(world.acknowledged.is_sorted(), "records were delivered out of order");
        assert_policy_kept(&world.seen, &policy);
        let late = world.seen.iter().filter(|seen| seen.ended > deadline.max(stops_at + policy.attempt_timeout));
        prop_assert_eq!(late.count(), 0, "an attempt went on after the deadline");
    }
}

#[test]
fn an_outage_is_asked_about_a_dozen_times_a_minute_at_most_nearly_always() {
    let policy = RetryPolicy::default();
    let mut above = 0;
    for seed in 0..2_000 {
        let mut random = rand::SeedableRng::seed_from_u64(seed);
        let start = Instant::now();
        let (mut now, mut attempts) = (start, 1);
        while let Some(pause) = policy.pause(
            attempts,
            start,
            now,
            None,
            &mut random as &mut rand::rngs::SmallRng,
        ) {
            now += pause;
            if now - start > 60 * SECOND {
                break;
            }
            attempts += 1;
        }
        above += u32::from(attempts > 12);
    }

    // Full jitter has no upper bound below the floor's; what is promised is its usual course.
    assert!(
        above < 100,
        "{above} of 2,000 outages saw more than 12 attempts in the first minute"
    );
}
