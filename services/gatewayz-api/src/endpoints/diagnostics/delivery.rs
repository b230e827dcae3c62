//! What became of the records made since a moment.

use std::time::Duration;

use gatewayz_delivery::{Flushed, Status};
use gatewayz_telemetry::{SignalHealth, Telemetry};
use serde::Serialize;

/// How long a test waits for its records.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// A way out of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Stdout,
    Loki,
    Traces,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Success,
    Failed,
    Disabled,
}

/// The verdict on one signal, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Settled {
    #[serde(rename = "status")]
    pub(super) verdict: Verdict,
    pub(super) message: String,
    pub(super) error: Option<String>,
}

/// The figures of a signal before a test made its records.
#[derive(Debug)]
pub(super) struct Reading {
    signal: Signal,
    /// `None` when the signal is off.
    before: Option<Status>,
}

impl Verdict {
    /// One failure is a failure; what is off does not spoil a success.
    pub(super) fn of_all(verdicts: impl IntoIterator<Item = Self>) -> Self {
        let worse = |all: Self, one: Self| match (all, one) {
            (Self::Failed, _) | (_, Self::Failed) => Self::Failed,
            (Self::Success, _) | (_, Self::Success) => Self::Success,
            (Self::Disabled, Self::Disabled) => Self::Disabled,
        };
        verdicts.into_iter().fold(Self::Disabled, worse)
    }
}

impl Settled {
    pub(super) fn success(message: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Success,
            message: message.into(),
            error: None,
        }
    }

    pub(super) fn failed(message: impl Into<String>, error: Option<String>) -> Self {
        Self {
            verdict: Verdict::Failed,
            message: message.into(),
            error,
        }
    }

    pub(super) fn disabled(message: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Disabled,
            message: message.into(),
            error: None,
        }
    }
}

impl Reading {
    pub(super) fn of(signal: Signal, telemetry: &Telemetry) -> Self {
        Self {
            signal,
            before: signal.health(telemetry).figures,
        }
    }

    /// Waits for the records made since the reading, at most two seconds. Blocks.
    ///
    /// Records of other requests count too: a loss meanwhile makes the test fail whoever's record it was.
    pub(super) fn settle(self, telemetry: &Telemetry) -> Settled {
        let Some(before) = self.before else {
            return Settled::disabled(self.signal.disabled_message());
        };
        let flushed = self.signal.flush(telemetry);
        match (flushed, self.signal.health(telemetry).figures) {
            (Some(flushed), Some(after)) => judge(&before, &after, &flushed),
            (None, _) | (_, None) => Settled::disabled(self.signal.disabled_message()),
        }
    }
}

/// Settles several signals side by side. Blocks.
pub(super) fn settle_all<const N: usize>(readings: [Reading; N], telemetry: &Telemetry) -> [Settled; N] {
    std::thread::scope(|scope| {
        let threads = readings.map(|reading| scope.spawn(move || reading.settle(telemetry)));
        threads.map(|thread| {
            let settled = thread.join();
            settled.unwrap_or_else(|_| Settled::failed("The flush panicked.", None))
        })
    })
}

impl Signal {
    fn health(self, telemetry: &Telemetry) -> SignalHealth {
        match self {
            Self::Stdout => telemetry.stdout(),
            Self::Loki => telemetry.loki(),
            Self::Traces => telemetry.traces(),
        }
    }

    fn flush(self, telemetry: &Telemetry) -> Option<Flushed> {
        match self {
            Self::Stdout => Some(telemetry.flush_stdout(FLUSH_TIMEOUT)),
            Self::Loki => telemetry.flush_loki(FLUSH_TIMEOUT),
            Self::Traces => telemetry.flush_traces(FLUSH_TIMEOUT),
        }
    }

    fn disabled_message(self) -> &'static str {
        match self {
            Self::Stdout => "There is no stdout.",
            Self::Loki => "Nothing is pushed to Loki; set LOKI_ENABLED=true and LOKI_PUSH_URL.",
            Self::Traces => {
                "No span is exported; set TEMPO_OTLP_GRPC_ENDPOINT or TEMPO_OTLP_HTTP_ENDPOINT, \
                 and neither TEMPO_ENABLED=false nor OTEL_SDK_DISABLED=true."
            }
        }
    }
}

fn judge(before: &Status, after: &Status, flushed: &Flushed) -> Settled {
    let created = after.created.saturating_sub(before.created);
    let delivered = after.delivered.saturating_sub(before.delivered);
    let lost = after.lost_total().saturating_sub(before.lost_total());
    let error = flushed.last_error.as_ref().map(|error| error.message.clone());
    if lost > 0 {
        let reasons: Vec<&str> = after
            .losses()
            .filter(|(reason, count)| *count > before.discarded_for(*reason))
            .map(|(reason, _)| reason.as_str())
            .collect();
        return Settled::failed(format!("{lost} lost: {}.", reasons.join(", ")), error);
    }
    if !flushed.complete {
        return Settled::failed("Not delivered within 2 s; it is tried again.", error);
    }
    if created == 0 {
        return Settled::disabled("Nothing was made: the log levels or the sampler leave it out.");
    }
    Settled::success(format!("{delivered} delivered."))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use gatewayz_delivery::{Discard, LastError};

    use super::*;

    fn status(created: u64, delivered: u64, rejected: u64) -> Status {
        let mut discarded = [0; Discard::ALL.len()];
        discarded[Discard::Rejected as usize] = rejected;
        Status {
            created,
            delivered,
            discarded,
            ..Status::default()
        }
    }

    fn flushed(complete: bool) -> Flushed {
        let last_error = LastError {
            at: SystemTime::now(),
            message: "status 400".to_owned(),
        };
        Flushed {
            complete,
            delivered: 0,
            failed: 0,
            last_error: Some(last_error),
        }
    }

    #[test]
    fn a_record_that_was_refused_fails_the_test_with_the_reason() {
        let settled = judge(&status(5, 4, 1), &status(7, 5, 2), &flushed(true));

        assert_eq!(
            settled,
            Settled::failed("1 lost: rejected.", Some("status 400".to_owned()))
        );
    }

    #[test]
    fn a_destination_that_does_not_answer_in_time_fails_the_test() {
        let settled = judge(&status(5, 5, 0), &status(7, 5, 0), &flushed(false));

        assert_eq!(settled.verdict, Verdict::Failed);
        assert_eq!(settled.error.as_deref(), Some("status 400"));
    }

    #[test]
    fn losses_before_the_test_do_not_count() {
        let settled = judge(&status(5, 2, 3), &status(7, 4, 3), &flushed(true));

        assert_eq!(settled, Settled::success("2 delivered."));
    }

    #[test]
    fn a_test_that_made_no_record_is_no_success() {
        let settled = judge(&status(5, 5, 0), &status(5, 5, 0), &flushed(true));

        assert_eq!(settled.verdict, Verdict::Disabled);
    }

    #[test]
    fn one_failure_outweighs_and_one_success_suffices() {
        use Verdict::{Disabled, Failed, Success};

        assert_eq!(Verdict::of_all([Success, Failed, Disabled]), Failed);
        assert_eq!(Verdict::of_all([Disabled, Success]), Success);
        assert_eq!(Verdict::of_all([Disabled, Disabled]), Disabled);
    }
}
