//! `created = delivered + discarded + queued`, whatever the destination answers.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gatewayz_delivery::{
    Admission, Attempt, Batch, Delivery, Discard, Failure, QueueSettings, RetryPolicy, Severity, Sink,
};
use proptest::prelude::*;

#[derive(Debug, Clone, Copy)]
enum Answer {
    Take,
    TakePart,
    Refuse,
    TooLarge,
    Later,
    Panic,
}

/// Answers by script, then takes everything; keeps what it took.
struct Scripted {
    script: std::vec::IntoIter<Answer>,
    taken: Arc<Mutex<BTreeSet<u64>>>,
}

impl Sink for Scripted {
    fn send(&mut self, batch: &Arc<Batch>, _deadline: Instant) -> Attempt {
        let failure = || Failure::new("503", "scripted");
        let ids = batch
            .records()
            .map(|record| u64::from_le_bytes(record[..8].try_into().unwrap()));
        match self.script.next().unwrap_or(Answer::Take) {
            Answer::Take => {
                self.taken.lock().unwrap().extend(ids);
                Attempt::Delivered
            }
            Answer::TakePart => {
                self.taken.lock().unwrap().extend(ids.skip(1));
                Attempt::PartlyRejected {
                    rejected: 1,
                    failure: failure(),
                }
            }
            Answer::Refuse => Attempt::Rejected(failure()),
            Answer::TooLarge => Attempt::TooLarge(failure()),
            Answer::Later => Attempt::Retry {
                after: None,
                failure: failure(),
            },
            Answer::Panic => panic!("scripted"),
        }
    }
}

fn eager() -> RetryPolicy {
    RetryPolicy {
        backoff_min: Duration::ZERO,
        backoff_max: Duration::ZERO,
        max_attempts: 3,
        ..RetryPolicy::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_record_is_delivered_or_counted_by_reason(
        script in proptest::collection::vec(
            prop_oneof![
                Just(Answer::Take), Just(Answer::TakePart), Just(Answer::Refuse),
                Just(Answer::TooLarge), Just(Answer::Later), Just(Answer::Panic),
            ],
            0..40,
        ),
        producers in 1_u64..4,
        each in 1_u64..400,
        padding in 0_usize..300,
        capacity_bytes in 1_000_usize..100_000,
    ) {
        let taken = Arc::new(Mutex::new(BTreeSet::new()));
        let sink = Scripted { script: script.into_iter(), taken: Arc::clone(&taken) };
        let settings = QueueSettings { capacity_bytes, batch_bytes: 500, batch_max_bytes: 4_000, linger: Duration::ZERO, ..QueueSettings::default() };
        let delivery = Delivery::spawn("scripted", sink, settings, eager(), None).unwrap();

        std::thread::scope(|scope| {
            for producer in 0..producers {
                let queue = delivery.queue().clone();
                scope.spawn(move || {
                    for n in 0..each {
                        queue.push(Severity::Warn, |bytes| {
                            bytes.extend_from_slice(&(producer * 1_000_000 + n).to_le_bytes());
                            bytes.resize(bytes.len() + padding, b'.');
                        });
                    }
                });
            }
        });
        let status = delivery.shutdown(Instant::now() + Duration::from_secs(10));

        prop_assert_eq!(status.created, producers * each);
        prop_assert_eq!(status.created, status.delivered + status.discarded_total() + status.queued);
        prop_assert_eq!(status.queued, 0);
        prop_assert_eq!(status.queued_bytes, 0);
        prop_assert_eq!(status.delivered, taken.lock().unwrap().len() as u64);
    }
}

/// Shows the bytes of each batch.
struct Whole(mpsc::Sender<Vec<u8>>);

impl Sink for Whole {
    fn send(&mut self, batch: &Arc<Batch>, _deadline: Instant) -> Attempt {
        self.0.send(batch.runs().flatten().copied().collect()).unwrap();
        Attempt::Delivered
    }
}

/// Blocks until the test lets it go, as a stopped reader of a pipe does.
struct Blocked(mpsc::Receiver<()>);

impl Sink for Blocked {
    fn send(&mut self, _batch: &Arc<Batch>, _deadline: Instant) -> Attempt {
        let _ = self.0.recv();
        Attempt::Delivered
    }
}

#[test]
fn a_full_queue_refuses_at_once_sheds_by_severity_and_keeps_room_for_audit() {
    let (_release, blocked) = mpsc::channel();
    let settings = QueueSettings {
        capacity_bytes: 1_100,
        audit_reserve_bytes: 100,
        ..QueueSettings::default()
    };
    let delivery = Delivery::spawn("blocked", Blocked(blocked), settings, eager(), None).unwrap();
    let push = |severity| {
        delivery
            .queue()
            .push(severity, |bytes| bytes.extend_from_slice(&[b'x'; 100]))
    };

    let info: Vec<Admission> = (0..9).map(|_| push(Severity::Info)).collect();
    let errors: Vec<Admission> = (0..3).map(|_| push(Severity::Error)).collect();
    let audit = push(Severity::Audit);

    assert_eq!(
        info.iter()
            .filter(|admission| **admission == Admission::Queued)
            .count(),
        8
    );
    assert_eq!(info.last(), Some(&Admission::Refused(Discard::Shed)));
    assert_eq!(
        errors
            .iter()
            .filter(|admission| **admission == Admission::Queued)
            .count(),
        2
    );
    assert_eq!(errors.last(), Some(&Admission::Refused(Discard::QueueFull)));
    assert_eq!(audit, Admission::Queued);
}

#[test]
fn a_shutdown_returns_at_its_deadline_when_the_sink_hangs_and_counts_what_is_left() {
    let (_release, blocked) = mpsc::channel();
    let delivery = Delivery::spawn(
        "blocked",
        Blocked(blocked),
        QueueSettings::default(),
        eager(),
        None,
    )
    .unwrap();
    for _ in 0..10 {
        delivery.queue().push(Severity::Info, |bytes| bytes.push(b'x'));
    }

    let status = delivery.shutdown(Instant::now() + Duration::from_millis(50));
    let late = delivery.queue().push(Severity::Info, |bytes| bytes.push(b'x'));

    assert_eq!((status.created, status.delivered), (10, 0));
    assert_eq!(status.discarded_for(Discard::Shutdown), 10);
    assert_eq!(late, Admission::Refused(Discard::AlreadyShutdown));
}

#[test]
fn a_record_whose_encoder_panics_leaves_nothing_and_is_in_no_figure() {
    let (taken, sent) = mpsc::channel();
    let delivery = Delivery::spawn("whole", Whole(taken), QueueSettings::default(), eager(), None).unwrap();
    let queue = delivery.queue();
    let push = |text: &'static [u8]| queue.push(Severity::Info, |out| out.extend_from_slice(text));
    let broken = || {
        let half = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"half a rec");
            panic!("scripted");
        };
        catch_unwind(AssertUnwindSafe(|| queue.push(Severity::Info, half)))
    };

    push(b"one ");
    assert!(broken().is_err());
    push(b"two");
    assert!(broken().is_err());
    let status = delivery.shutdown(Instant::now() + Duration::from_secs(10));

    assert_eq!((status.created, status.delivered), (2, 2), "{status:?}");
    assert_eq!(sent.try_iter().flatten().collect::<Vec<u8>>(), b"one two");
}

#[test]
fn a_flush_waits_for_the_records_queued_before_it() {
    let taken = Arc::new(Mutex::new(BTreeSet::new()));
    let sink = Scripted {
        script: Vec::new().into_iter(),
        taken: Arc::clone(&taken),
    };
    let settings = QueueSettings {
        linger: Duration::from_secs(60),
        ..QueueSettings::default()
    };
    let delivery = Delivery::spawn("lingering", sink, settings, eager(), None).unwrap();
    delivery.queue().push(Severity::Info, |bytes| {
        bytes.extend_from_slice(&7_u64.to_le_bytes());
    });

    let flushed = delivery.flush(Duration::from_secs(10));

    assert!(flushed.complete, "{flushed:?}");
    assert_eq!((flushed.delivered, flushed.failed), (1, 0));
    assert_eq!(*taken.lock().unwrap(), BTreeSet::from([7]));
}

#[test]
fn a_record_longer_than_a_record_may_be_is_refused_alone() {
    let taken = Arc::new(Mutex::new(BTreeSet::new()));
    let sink = Scripted {
        script: Vec::new().into_iter(),
        taken: Arc::clone(&taken),
    };
    let settings = QueueSettings {
        record_max_bytes: 8,
        ..QueueSettings::default()
    };
    let delivery = Delivery::spawn("short", sink, settings, eager(), None).unwrap();

    let long = delivery
        .queue()
        .push(Severity::Error, |bytes| bytes.extend_from_slice(&[1; 9]));
    let fits = delivery.queue().push(Severity::Error, |bytes| {
        bytes.extend_from_slice(&3_u64.to_le_bytes());
    });
    delivery.flush(Duration::from_secs(10));

    assert_eq!(long, Admission::Refused(Discard::RecordTooLong));
    assert_eq!(fits, Admission::Queued);
    assert_eq!(*taken.lock().unwrap(), BTreeSet::from([3]));
}
