//! The lines of an output, collected behind the test's back.

use std::io::{ErrorKind, PipeReader, PipeWriter, Read};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

#[derive(Debug, Default)]
pub(super) struct Lines {
    state: Mutex<LinesState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LinesState {
    lines: Vec<String>,
    /// The start of a line whose end was not read yet.
    rest: Vec<u8>,
    is_over: bool,
}

/// A thread that reads a pipe; it stops and gives the pipe back, or reads to the end.
#[derive(Debug)]
pub(super) struct Reading {
    thread: JoinHandle<PipeReader>,
    stop: PipeWriter,
}

impl Lines {
    /// Reads the pipe on a thread.
    pub(super) fn collect(self: &Arc<Self>, output: impl Into<OwnedFd>) -> Reading {
        let lines = Arc::clone(self);
        let output = PipeReader::from(output.into());
        let (stopped, stop) = std::io::pipe().expect("make a pipe");
        let thread = thread::spawn(move || lines.read(output, &stopped));
        Reading { thread, stop }
    }

    /// Says that nothing more will be read.
    pub(super) fn end(&self) {
        self.lock().is_over = true;
        self.changed.notify_all();
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    pub(super) fn wait_for<T>(&self, timeout: Duration, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let mut seen = 0;
        let mut found = None;
        let state = self.changed.wait_timeout_while(self.lock(), timeout, |state| {
            found = state.lines.iter().skip(seen).find_map(|line| find(line));
            seen = state.lines.len();
            found.is_none() && !state.is_over
        });
        drop(state);
        found
    }

    pub(super) fn wait_for_end(&self, timeout: Duration) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |state| !state.is_over);
        waited.expect("take the lock").0.is_over
    }

    fn read(&self, mut output: PipeReader, stopped: &PipeReader) -> PipeReader {
        let mut bytes = vec![0; 64 * 1024];
        while wait_for_bytes(&output, stopped) {
            match output.read(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => {
                    self.last_line();
                    break;
                }
                Ok(length) => self.add(bytes.get(..length).unwrap_or_default()),
            }
        }
        output
    }

    fn add(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.rest.extend_from_slice(bytes);
        let Some(end) = state.rest.iter().rposition(|byte| *byte == b'\n') else {
            return;
        };
        let rest = state.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut state.rest, rest);
        for line in whole.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            state.lines.push(String::from_utf8_lossy(line).into_owned());
        }
        drop(state);
        self.changed.notify_all();
    }

    fn last_line(&self) {
        let mut state = self.lock();
        if !state.rest.is_empty() {
            let rest = std::mem::take(&mut state.rest);
            state.lines.push(String::from_utf8_lossy(&rest).into_owned());
        }
        drop(state);
        self.end();
    }

    fn lock(&self) -> MutexGuard<'_, LinesState> {
        self.state.lock().expect("take the lock")
    }
}

impl Reading {
    /// Stops reading between two reads.
    pub(super) fn stop(self) -> PipeReader {
        drop(self.stop);
        self.thread.join().expect("end the reading thread")
    }
}

/// Returns `false` when the reading is to stop.
fn wait_for_bytes(output: &PipeReader, stopped: &PipeReader) -> bool {
    loop {
        let mut either = [
            PollFd::new(output, PollFlags::IN),
            PollFd::new(stopped, PollFlags::IN),
        ];
        // An interrupted call is repeated; another failure ends the reading as a stop does.
        match poll(&mut either, None) {
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
            Ok(_) => return either[1].revents().is_empty(),
        }
    }
}
