//! Where the measured processes deliver to: receivers that count.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use gatewayz_testkit::{loki, otlp};
use rustix::process::nice;

/// Priority that gives way to everything else.
pub(crate) const LOWEST: i32 = 19;

/// Longest time between two batches that arrive one after the other.
const QUIET: Duration = Duration::from_millis(10);

/// One of each kind.
#[derive(Debug)]
pub(crate) struct Receivers {
    pub(crate) otlp: otlp::Receiver,
    pub(crate) loki: loki::Receiver,
}

impl Receivers {
    /// On the cores of this thread.
    pub(crate) fn start() -> Self {
        Self {
            otlp: otlp::Receiver::counting(),
            loki: loki::Receiver::counting(),
        }
    }

    /// The same, with every span kept.
    pub(crate) fn keeping_spans() -> Self {
        Self {
            otlp: otlp::Receiver::start(),
            loki: loki::Receiver::counting(),
        }
    }

    /// The counting ones, giving way to a load on the same core that has a schedule to keep.
    ///
    /// # Errors
    /// When the system refuses the lower priority.
    pub(crate) fn start_behind() -> Result<Self> {
        // Threads have the priority of the thread that starts them, and none gets its own back.
        thread::scope(|scope| {
            let start = scope.spawn(|| {
                nice(LOWEST).context("lower the priority of the receivers")?;
                Ok(Self::start())
            });
            start.join().map_err(|_| anyhow::anyhow!("start the receivers"))?
        })
    }

    /// Waits until nothing arrives any more; what is less than a batch and waits for company is left out.
    pub(crate) fn wait_until_quiet(&self) {
        let arrived = || (self.otlp.span_count(), self.loki.line_count());
        let mut before = arrived();
        loop {
            thread::sleep(QUIET);
            let now = arrived();
            if now == before {
                return;
            }
            before = now;
        }
    }
}
