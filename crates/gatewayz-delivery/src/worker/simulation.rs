//! The delivery against a model of a destination, on a simulated clock: no interleaving of traffic, outages and
//! answers may lose a record from the books, break the order, or leave the retry policy.

mod world;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use proptest::prelude::*;

use self::world::{Burst, CAPACITY_BYTES, Mood, Seen, Shared, World};
use super::Worker;
use crate::delivery::Control;
use crate::time::Time;
use crate::{Discard, Observe, Queue, QueueSettings, RetryPolicy, Severity, Status};

const SECOND: Duration = Duration::from_secs(1);
const AUDIT_RESERVE_BYTES: usize = 4_000;
const BATCH_MAX_BYTES: usize = 8_000;
const SPLIT_SUSPECT_BYTES: usize = 2_000;

/// Looks at the books whenever they are shown.
#[derive(Default)]
struct Auditor {
    /// Whether they said last that the destination fails.
    failing: Arc<AtomicBool>,
}

impl Observe for Auditor {
    fn attempt(&self, _status: &str, _took: Duration) {}

    fn retry(&self, _status: &str) {}

    fn delivered(&mut self, _oldest: Instant, _now: Instant) {}

    fn figures(&mut self, status: &Status) {
        assert_balanced(status);
        self.failing.store(status.last_error.is_some(), Relaxed);
    }
}

#[track_caller]
fn assert_balanced(status: &Status) {
    let accounted = status.delivered + status.discarded_total() + status.queued;
    assert_eq!(status.created, accounted, "{status:?}");
}

/// Consecutive attempts: of one batch, of its halves, or of the next one.
#[track_caller]
fn assert_policy_kept(seen: &[Seen], policy: &RetryPolicy) {
    let mut attempts = 0;
    let mut first = None;
    for (attempt, next) in seen.iter().zip(seen.iter().skip(1)) {
        attempts += 1;
        let first_began = *first.get_or_insert(attempt.began);
        let pause = next.began - attempt.ended;
        if !attempt.final_answer && !next.closing {
            let least = policy.backoff_min.max(attempt.asked.min(policy.retry_after_max));
            assert!(pause >= least, "{pause:?} after a failure; at least {least:?}");
        }
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
        if next.closing {
            continue;
        }
        assert!(pause <= policy.backoff_max.max(policy.retry_after_max));
        let window = policy.max_elapsed + attempt.asked.min(policy.retry_after_max);
        assert!(next.began - first_began <= window);
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
        let auditor = Auditor::default();
        let failing = Arc::clone(&auditor.failing);
        let mut worker = Worker::new(
            Arc::clone(&queue.0),
            Arc::clone(&control),
            world.clone(),
            world.clone(),
            policy,
            Some(Box::new(auditor)),
        );

        world.world().advance_to(start);
        while !worker.turn(0) {
            let next = world.now() + SECOND;
            world.world().advance_to(next);
        }
        let status = queue.0.status();
        prop_assert_eq!(failing.load(Relaxed), status.last_error.is_some(), "an end or a beginning was not shown");

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
        loop {
            now += policy.pause(attempts, None, &mut random as &mut rand::rngs::SmallRng);
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
