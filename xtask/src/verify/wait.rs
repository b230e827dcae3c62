//! Waiting for facts, with a deadline and a line of progress.

use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::Cross;

/// Longest time of one request.
const REQUEST: Duration = Duration::from_secs(10);
/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long is waited at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    timeout: Duration,
}

impl Wait {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout }
    }

    /// Longest time of one request.
    pub(super) fn request_timeout(self) -> Duration {
        self.timeout.min(REQUEST)
    }

    /// The usual time, or less where the user wants less.
    pub(super) fn at_most(self, usual: Duration) -> Self {
        Self::new(self.timeout.min(usual))
    }

    /// What `look` finds, asked again and again.
    ///
    /// # Errors
    /// The reason of the last look when the time is over, or the first that no waiting changes.
    pub(super) fn until<T>(self, what: &str, mut look: impl FnMut() -> Result<T, Cross>) -> Result<T, Cross> {
        let started = Instant::now();
        let progress = progress(what, self.timeout);
        let interval = INTERVAL.min(self.timeout / 10);
        loop {
            let reason = match look() {
                Ok(found) => {
                    progress.finish_and_clear();
                    return Ok(found);
                }
                Err(reason) => reason,
            };
            if reason.is_final {
                progress.finish_and_clear();
                return Err(reason);
            }
            if started.elapsed() + interval > self.timeout {
                progress.finish_and_clear();
                let waited = started.elapsed().as_secs_f32();
                return Err(Cross::new(format_args!("{reason} (waited {waited:.0} s)")));
            }
            progress.set_position(started.elapsed().as_secs());
            thread::sleep(interval);
        }
    }
}

/// A line on a terminal's stderr, and nothing elsewhere.
fn progress(what: &str, timeout: Duration) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} wait for {msg}: {pos} s of at most {len} s");
    let bar = ProgressBar::new(timeout.as_secs()).with_message(what.to_owned());
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.tick();
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_late_is_found() {
        let mut looks = 0;

        let found = Wait::new(Duration::from_secs(5)).until("it", || {
            looks += 1;
            if looks < 3 {
                Err(Cross::new("not yet"))
            } else {
                Ok(looks)
            }
        });

        assert_eq!(found.unwrap(), 3);
    }

    #[test]
    fn what_never_comes_is_told_with_its_last_reason() {
        let mut looks = 0;

        let missed = Wait::new(Duration::from_millis(50)).until("it", || {
            looks += 1;
            Err::<(), _>(Cross::new(format_args!("look {looks}")))
        });

        assert_eq!(
            missed.unwrap_err().to_string(),
            format!("look {looks} (waited 0 s)")
        );
        assert!(looks > 1);
    }
}
