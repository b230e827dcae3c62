//! What an operator reads of a destination in trouble: a line when it begins, at most one in ten seconds while it
//! lasts, and one when it is over.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use gatewayz_delivery::Status;

/// Shortest time between two lines about one destination.
const PACE: Duration = Duration::from_secs(10);
const TARGET: &str = "gatewayz::delivery";

/// Watches the figures of one destination on its delivery thread.
#[derive(Debug)]
pub(crate) struct Notices {
    exporter: &'static str,
    told_at: Option<Instant>,
    /// Losses that a line has told of.
    told_lost: u64,
    /// The part of them that the queue refused.
    told_refused: u64,
    /// Since when attempts fail, and what was lost before.
    failing: Option<(Instant, u64)>,
    /// When the last batch was delivered, and the one before it.
    delivered_at: [Instant; 2],
}

#[derive(Debug, PartialEq, Eq)]
enum Notice {
    /// Attempts fail; `lost` since the last line.
    Fails {
        error: String,
        lost: u64,
        queued: u64,
        lasting: Duration,
    },
    /// Attempts succeed again; `lost` since they began to fail.
    WorksAgain { lost: u64, lasted: Duration },
    /// Records were lost although attempts succeed by now: the queue was full because the destination was slow or
    /// stood still (`refused`), or a failure came and went since the last line.
    Dropped {
        lost: u64,
        refused: bool,
        within: Duration,
    },
}

impl Notices {
    pub(crate) fn new(exporter: &'static str) -> Self {
        Self {
            exporter,
            told_at: None,
            told_lost: 0,
            told_refused: 0,
            failing: None,
            delivered_at: [Instant::now(); 2],
        }
    }

    /// A batch was delivered; its figures follow if there is anything to tell.
    pub(crate) fn delivered(&mut self, now: Instant) {
        let [last, _] = self.delivered_at;
        self.delivered_at = [now, last];
    }

    pub(crate) fn figures(&mut self, status: &Status) {
        if let Some(notice) = self.next(Instant::now(), status) {
            self.tell(notice);
        }
    }

    fn next(&mut self, now: Instant, status: &Status) -> Option<Notice> {
        let total = status.lost_total();
        let lost = total - self.told_lost;
        let by_reason = status.losses();
        let refused = by_reason
            .filter(|(reason, _)| reason.is_enqueue())
            .map(|(_, count)| count)
            .sum();
        let told_lately = self.told_at.is_some_and(|told_at| now - told_at < PACE);
        let notice = match (&status.last_error, self.failing) {
            (Some(error), failing) => {
                let (since, _) = failing.unwrap_or((now, self.told_lost));
                self.failing = Some((since, failing.map_or(self.told_lost, |(_, before)| before)));
                Notice::Fails {
                    error: error.message.clone(),
                    lost,
                    queued: status.queued,
                    lasting: now - since,
                }
            }
            (None, Some((since, before))) => {
                self.failing = None;
                // What came and went within the pace of an earlier line was never told, so nor is its end.
                if self.told_at < Some(since) {
                    return None;
                }
                self.told_lost = total;
                self.told_refused = refused;
                return Some(Notice::WorksAgain {
                    lost: total - before,
                    lasted: now - since,
                });
            }
            (None, None) if lost > 0 => Notice::Dropped {
                lost,
                refused: refused > self.told_refused,
                within: now - self.delivered_at[1],
            },
            (None, None) => return None,
        };
        if told_lately {
            return None;
        }
        self.told_at = Some(now);
        self.told_lost = total;
        self.told_refused = refused;
        Some(notice)
    }

    fn tell(&self, notice: Notice) {
        let exporter = self.exporter;
        match notice {
            // Its own queue is the one that fails; stderr is what is left.
            Notice::Fails { error, lost, .. } if exporter == "stdout" => {
                let _ = writeln!(io::stderr(), "log lines cannot be written: {error}; {lost} lost");
            }
            Notice::Fails {
                error,
                lost,
                queued,
                lasting,
            } => tracing::warn!(
                target: TARGET,
                exporter,
                error,
                lost,
                queued,
                lasting_seconds = lasting.as_secs_f64(),
                "Delivery fails"
            ),
            Notice::WorksAgain { lost, lasted } => tracing::info!(
                target: TARGET,
                exporter,
                lost,
                lasted_seconds = lasted.as_secs_f64(),
                "Delivery works again"
            ),
            Notice::Dropped {
                lost,
                refused,
                within,
            } => tracing::warn!(
                target: TARGET,
                exporter,
                lost,
                within_seconds = within.as_secs_f64(),
                "{}",
                if refused {
                    "Records were dropped: the queue was full"
                } else {
                    "Records were lost: the destination refused them"
                }
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use gatewayz_delivery::{Discard, LastError};

    use super::*;

    fn status(error: Option<&str>, lost: u64) -> Status {
        let mut discarded = [0; Discard::ALL.len()];
        discarded[Discard::QueueFull as usize] = lost;
        Status {
            discarded,
            queued: 3,
            last_error: error.map(|message| LastError {
                at: SystemTime::UNIX_EPOCH,
                message: message.to_owned(),
            }),
            ..Status::default()
        }
    }

    #[test]
    fn a_failing_destination_is_told_at_once_then_every_ten_seconds_and_when_it_is_back() {
        let start = Instant::now();
        let mut notices = Notices::new("loki");
        let mut told = Vec::new();

        for second in 0..25 {
            let lost = second * 2;
            told.extend(notices.next(
                start + Duration::from_secs(second),
                &status(Some("refused"), lost),
            ));
        }
        told.extend(notices.next(start + Duration::from_secs(25), &status(None, 48)));
        told.extend(notices.next(start + Duration::from_secs(26), &status(None, 48)));

        let fails = |lost, secs| Notice::Fails {
            error: "refused".to_owned(),
            lost,
            queued: 3,
            lasting: Duration::from_secs(secs),
        };
        let over = Notice::WorksAgain {
            lost: 48,
            lasted: Duration::from_secs(25),
        };
        assert_eq!(told, [fails(0, 0), fails(20, 10), fails(20, 20), over]);
    }

    #[test]
    fn what_a_full_queue_dropped_is_told_once_with_its_number() {
        let mut notices = Notices::new("stdout");
        let [start, _] = notices.delivered_at;
        notices.delivered(start + Duration::from_secs(7));

        let dropped = notices.next(start + Duration::from_secs(7), &status(None, 700));
        let later = notices.next(start + Duration::from_secs(60), &status(None, 700));

        let within = Duration::from_secs(7);
        assert_eq!(
            dropped,
            Some(Notice::Dropped {
                lost: 700,
                refused: true,
                within
            })
        );
        assert_eq!(later, None);
    }

    #[test]
    fn a_failure_between_two_lines_is_told_neither_when_it_begins_nor_when_it_ends() {
        let start = Instant::now();
        let mut notices = Notices::new("otlp");
        let mut next = |millis, error| notices.next(start + Duration::from_millis(millis), &status(error, 0));

        let told = [
            next(0, Some("503")),
            next(100, None),
            next(200, Some("503")),
            next(300, None),
        ];

        assert_eq!(told.map(|notice| notice.is_some()), [true, true, false, false]);
    }

    #[test]
    fn a_destination_that_works_is_not_told_of() {
        assert_eq!(Notices::new("otlp").next(Instant::now(), &status(None, 0)), None);
    }
}
