//! Where finished lines go: stdout behind its own bounded, lossy, counted writer thread, and other sinks.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use gatewayz_delivery::{Attempt, Batch, Failure, Queue, Severity, Sink};
use tracing::Level;

use crate::ids::SpanIds;
use crate::line::level_index;

/// Pause before a write is tried again on a pipe that is set non-blocking by whoever shares it.
const WOULD_BLOCK_PAUSE: Duration = Duration::from_millis(5);

/// One finished line with what a sink may need beside the text.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The text, with its line feed.
    pub bytes: &'a [u8],
    /// When it happened.
    pub unix_nanos: u64,
    /// Its level.
    pub level: Level,
    /// How much it matters when a queue fills.
    pub severity: Severity,
    /// The span it belongs to; `None` outside a span.
    pub ids: Option<SpanIds>,
}

/// Takes finished lines. Called on request threads: it must neither block nor fail.
pub trait LineSink: Send + Sync + 'static {
    /// Takes one line.
    fn write(&self, line: &Line<'_>);
}

/// The lines' way out: every sink gets every line. Counts lines by level.
#[derive(Clone)]
pub struct Lines(Arc<LinesInner>);

struct LinesInner {
    stdout: Queue,
    others: Vec<Box<dyn LineSink>>,
    by_level: [AtomicU64; 5],
    truncated: AtomicU64,
}

impl Lines {
    /// Lines go to the `stdout` queue and to each of `others`.
    #[must_use]
    pub fn new(stdout: Queue, others: Vec<Box<dyn LineSink>>) -> Self {
        Self(Arc::new(LinesInner {
            stdout,
            others,
            by_level: Default::default(),
            truncated: AtomicU64::new(0),
        }))
    }

    /// Lines made so far at `level`.
    #[must_use]
    pub fn count(&self, level: Level) -> u64 {
        self.0.by_level[level_index(level)].load(Relaxed)
    }

    /// Fields of lines that were cut or left out for their length.
    #[must_use]
    pub fn truncated(&self) -> u64 {
        self.0.truncated.load(Relaxed)
    }

    pub(crate) fn count_truncated(&self, fields: u64) {
        self.0.truncated.fetch_add(fields, Relaxed);
    }

    /// Whether some sink beside stdout takes lines, always as JSON.
    pub(crate) fn has_others(&self) -> bool {
        !self.0.others.is_empty()
    }

    pub(crate) fn write_stdout(&self, line: &Line<'_>) {
        self.write_stdout_with(line.level, line.severity, |out| out.extend_from_slice(line.bytes));
    }

    /// Encodes a line straight into the queue.
    pub(crate) fn write_stdout_with(
        &self,
        level: Level,
        severity: Severity,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        self.0.by_level[level_index(level)].fetch_add(1, Relaxed);
        self.0.stdout.push(severity, encode);
    }

    pub(crate) fn write_others(&self, line: &Line<'_>) {
        for sink in &self.0.others {
            sink.write(line);
        }
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Lines")
            .field("stdout", &self.0.stdout)
            .finish_non_exhaustive()
    }
}

/// The writing side of stdout, for [`gatewayz_delivery::Delivery::spawn`].
///
/// A reader that stops blocks only this thread. A closed pipe or a full disk loses the lines, counted.
#[derive(Debug)]
pub struct Stdout {
    file: File,
    mid_line: bool,
}

impl Stdout {
    /// Opens a second handle on the process's stdout.
    ///
    /// # Errors
    /// When stdout is closed.
    pub fn open() -> io::Result<Self> {
        Ok(Self::to(File::from(io::stdout().as_fd().try_clone_to_owned()?)))
    }

    /// Writes to `file` instead.
    #[must_use]
    pub fn to(file: File) -> Self {
        Self {
            file,
            mid_line: false,
        }
    }

    fn write_all(&mut self, mut bytes: &[u8], deadline: Instant, written: &mut usize) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    *written += count;
                    self.mid_line = bytes.get(count - 1) != Some(&b'\n');
                    bytes = bytes.get(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {
                    std::thread::sleep(WOULD_BLOCK_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Sink for Stdout {
    fn send(&mut self, batch: &Arc<Batch>, deadline: Instant) -> Attempt {
        let mut written = 0;
        let mut result = Ok(());
        if self.mid_line {
            // The last attempt broke off inside a line; what follows must start on its own.
            result = self.write_all(b"\n", deadline, &mut 0);
        }
        for run in batch.runs() {
            result = result.and_then(|()| self.write_all(run, deadline, &mut written));
        }
        let Err(error) = result else {
            return Attempt::Delivered;
        };
        let mut end = 0;
        let whole = batch.records().take_while(|record| {
            end += record.len();
            end <= written
        });
        let rejected = batch.len() - whole.count();
        let failure = Failure::new("write", &format!("write to stdout: {}", error.kind()));
        if rejected == batch.len() {
            return Attempt::Rejected(failure);
        }
        Attempt::PartlyRejected { rejected, failure }
    }
}
