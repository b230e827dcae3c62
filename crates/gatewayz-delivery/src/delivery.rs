//! A running delivery: the queue, its thread, and the ways to flush, read and end it.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::ledger::LastError;
use crate::queue::{Queue, QueueSettings};
use crate::time::Monotonic;
use crate::worker::Worker;
use crate::{Discard, Observe, RetryPolicy, Sink, Status};

/// How long after a shutdown's deadline the thread may still return by itself.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(100);

thread_local!(static DELIVERING: Cell<Option<&'static str>> = const { Cell::new(None) });

/// The sink whose delivery thread this is; `None` on any other thread.
///
/// What a delivery thread has to say must not go out through its own sink: a record about a destination that fails
/// would wait behind those it tells of, and each delivery would make a record to deliver.
#[must_use]
pub fn delivering() -> Option<&'static str> {
    DELIVERING.get()
}

/// One sink's queue and delivery thread.
///
/// Its end is [`shutdown`](Self::shutdown). Without it the thread goes on delivering for as long as the process runs, also
/// when this is dropped, and what is queued at the end of the process is lost.
#[derive(Debug)]
pub struct Delivery {
    queue: Queue,
    control: Arc<Control>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What a flush saw.
#[derive(Debug, Clone)]
pub struct Flushed {
    /// Every record queued before the flush is delivered or discarded.
    pub complete: bool,
    /// Records delivered meanwhile.
    pub delivered: u64,
    /// Records discarded meanwhile on the way out.
    pub failed: u64,
    /// The last failure, if the destination has not taken a batch since.
    pub last_error: Option<LastError>,
}

impl Delivery {
    /// Starts the delivery thread `name` for `sink`.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn spawn(
        name: &'static str,
        sink: impl Sink,
        settings: QueueSettings,
        policy: RetryPolicy,
        observer: Option<Box<dyn Observe>>,
    ) -> io::Result<Self> {
        let queue = Queue::new(name, settings);
        let control = Arc::new(Control::default());
        let worker = Worker::new(
            Arc::clone(&queue.0),
            Arc::clone(&control),
            sink,
            Monotonic,
            policy,
            observer,
        );
        let shared = Arc::clone(&queue.0);
        let finished = Finished(Arc::clone(&control));
        let thread = Builder::new().name(format!("deliver-{name}")).spawn(move || {
            let _finished = finished;
            DELIVERING.set(Some(name));
            let _ = shared.thread.set(std::thread::current());
            drop(shared);
            worker.run();
        })?;
        let _ = queue.0.thread.set(thread.thread().clone());
        Ok(Self {
            queue,
            control,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// The sink's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.queue.name()
    }

    /// The producers' handle.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// A reading of every figure.
    #[must_use]
    pub fn status(&self) -> Status {
        self.queue.0.status()
    }

    /// Waits until every record queued so far is delivered or discarded, at most `timeout`.
    ///
    /// Blocks the calling thread: call it from a blocking context, never on an async worker.
    pub fn flush(&self, timeout: Duration) -> Flushed {
        let before = self.status();
        let complete = self.control.flush(&self.queue, Instant::now() + timeout);
        let after = self.status();
        let send_failed = |status: &Status| -> u64 {
            let reasons = Discard::ALL.into_iter().filter(|reason| !reason.is_enqueue());
            reasons.map(|reason| status.discarded_for(reason)).sum()
        };
        Flushed {
            complete,
            delivered: after.delivered - before.delivered,
            failed: send_failed(&after) - send_failed(&before),
            last_error: after.last_error,
        }
    }

    /// Refuses new records, delivers what is queued until `deadline`, counts the rest as `shutdown`.
    ///
    /// Returns soon after the deadline even when the sink hangs. A second call only reads the figures.
    pub fn shutdown(&self, deadline: Instant) -> Status {
        self.queue.0.close();
        self.control.close(deadline);
        self.queue.0.unpark();
        let ended = self.control.wait_finished(deadline + SHUTDOWN_GRACE);
        let handle = self.thread.lock().take();
        if let Some(handle) = handle
            && ended
        {
            let _ = handle.join();
        }
        let mut status = self.status();
        // A sink that hangs holds its batch for ever; the process ends without it.
        if status.queued > 0 && !ended {
            if let Some(count) = status.discarded.get_mut(Discard::Shutdown as usize) {
                *count += status.queued;
            }
            status.queued = 0;
        }
        status
    }
}

/// Requests to the delivery thread and its answers.
#[derive(Debug, Default)]
pub(crate) struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    flushes_requested: u64,
    flushes_done: u64,
    closing: Option<Instant>,
    finished: bool,
}

impl Control {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(crate) fn closing(&self) -> Option<Instant> {
        self.state().closing
    }

    pub(crate) fn flushes_requested(&self) -> u64 {
        self.state().flushes_requested
    }

    pub(crate) fn flushes_done(&self, seen: u64) {
        self.state().flushes_done = seen;
        self.changed.notify_all();
    }

    /// Whether somebody waits for an answer that the thread has not begun to work on.
    pub(crate) fn hurried(&self, flushes_seen: u64) -> bool {
        let state = self.state();
        state.closing.is_some() || state.flushes_requested > flushes_seen
    }

    /// Sleeps until `until`, or until the shutdown begins.
    pub(crate) fn pause(&self, until: Instant) {
        let mut state = self.state();
        let was_closing = state.closing.is_some();
        while state.closing.is_some() == was_closing {
            if Instant::now() >= until {
                return;
            }
            self.changed.wait_until(&mut state, until);
        }
    }

    fn flush(&self, queue: &Queue, deadline: Instant) -> bool {
        let ticket = {
            let mut state = self.state();
            state.flushes_requested += 1;
            state.flushes_requested
        };
        queue.0.unpark();
        self.wait_until(deadline, |state| state.flushes_done >= ticket || state.finished)
    }

    pub(crate) fn close(&self, deadline: Instant) {
        let mut state = self.state();
        state.closing = Some(state.closing.map_or(deadline, |earlier| earlier.min(deadline)));
        drop(state);
        self.changed.notify_all();
    }

    fn wait_finished(&self, deadline: Instant) -> bool {
        self.wait_until(deadline, |state| state.finished)
    }

    fn wait_until(&self, deadline: Instant, reached: impl Fn(&State) -> bool) -> bool {
        let mut state = self.state();
        while !reached(&state) {
            if Instant::now() >= deadline {
                return false;
            }
            self.changed.wait_until(&mut state, deadline);
        }
        true
    }
}

/// Tells waiters that the thread has ended, also when the sink panicked.
struct Finished(Arc<Control>);

impl Drop for Finished {
    fn drop(&mut self) {
        self.0.state().finished = true;
        self.0.changed.notify_all();
    }
}
