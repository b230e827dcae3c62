//! The delivery thread's clock, so that hours of retries can be tested in moments.

use std::time::Instant;

use crate::delivery::Control;

pub(crate) trait Time {
    fn now(&self) -> Instant;
    /// Waits until `until`, or until the shutdown begins.
    fn pause(&self, control: &Control, until: Instant);
}

/// The monotonic clock of the system.
pub(crate) struct Monotonic;

impl Time for Monotonic {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn pause(&self, control: &Control, until: Instant) {
        control.pause(until);
    }
}
