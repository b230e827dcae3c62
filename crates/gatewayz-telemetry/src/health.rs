//! How each signal fares, from what really happened to its records.

use std::time::{Duration, SystemTime};

use gatewayz_delivery::{Delivery, Status};

/// A failure counts as present for this long after it happened.
const RECENT: Duration = Duration::from_secs(60);

/// The state of one way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalState {
    /// Not configured.
    Disabled,
    /// Nothing has failed lately. Says nothing of a destination to which nothing was sent yet.
    Healthy,
    /// Records are being lost, or attempts fail.
    Degraded,
    /// The destination refuses our credentials.
    Unauthorized,
}

/// One way out with its figures.
#[derive(Debug, Clone)]
pub struct SignalHealth {
    /// Whether it works.
    pub state: SignalState,
    /// Its figures; `None` when it is disabled.
    pub figures: Option<Status>,
}

impl SignalState {
    /// The word for answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unauthorized => "degraded: auth",
        }
    }

    /// Whether an operator has something to do.
    #[must_use]
    pub fn is_degraded(self) -> bool {
        matches!(self, Self::Degraded | Self::Unauthorized)
    }
}

impl SignalHealth {
    pub(crate) fn of(delivery: Option<&Delivery>) -> Self {
        let Some(delivery) = delivery else {
            return Self {
                state: SignalState::Disabled,
                figures: None,
            };
        };
        let figures = delivery.status();
        Self {
            state: state(&figures),
            figures: Some(figures),
        }
    }

    /// Seconds since the destination last took a batch; `None` if it never did.
    #[must_use]
    pub fn last_success_age_seconds(&self) -> Option<f64> {
        let last = self.figures.as_ref()?.last_success?;
        Some(
            SystemTime::now()
                .duration_since(last)
                .unwrap_or_default()
                .as_secs_f64(),
        )
    }
}

fn state(status: &Status) -> SignalState {
    if status.unauthorized {
        return SignalState::Unauthorized;
    }
    let failing = status.last_error.as_ref().is_some_and(|error| {
        let age = SystemTime::now().duration_since(error.at).unwrap_or_default();
        // Without a success since, the failure stands as long as records wait for one.
        age < RECENT || status.queued > 0
    });
    // Before the queue sheds, which begins at 80 % and keeps it there.
    let filling = status.queued_bytes > status.capacity_bytes / 10 * 7;
    if failing || filling {
        SignalState::Degraded
    } else {
        SignalState::Healthy
    }
}
