//! A service under test as a process of its own: environment, output, signals, exit.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;

/// A running service; killed when dropped.
#[derive(Debug)]
pub struct Service {
    child: Child,
    stdout: Arc<Lines>,
    stderr: Arc<Lines>,
}

/// Why a service did not do what the test waits for.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The binary cannot be started.
    #[error("start {binary}")]
    Start {
        /// Path of the binary.
        binary: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The process cannot be signalled or waited for.
    #[error("control the process")]
    Control(#[from] std::io::Error),
    /// The time was over.
    #[error("wait for {what}: not within {waited:?}; last lines on stderr: {stderr:?}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// Up to ten lines.
        stderr: Vec<String>,
    },
}

impl Service {
    /// Starts `binary` with these arguments and exactly this environment, in `directory`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        binary: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
        directory: &Path,
    ) -> Result<Self, ProcessError> {
        let mut child = Command::new(binary)
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| ProcessError::Start {
                binary: binary.display().to_string(),
                source,
            })?;
        let stdout = Lines::collect(child.stdout.take().expect("a piped stdout"));
        let stderr = Lines::collect(child.stderr.take().expect("a piped stderr"));
        Ok(Self {
            child,
            stdout,
            stderr,
        })
    }

    /// Process id, for reading `/proc`.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Complete lines on stdout so far, what is not UTF-8 replaced.
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.all()
    }

    /// Complete lines on stderr so far, what is not UTF-8 replaced.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.all()
    }

    /// Waits for the first line on stdout that fits, from the start of the process on, and returns it.
    ///
    /// # Errors
    /// When none is there within `timeout` or before stdout ends.
    pub fn wait_for_stdout(
        &self,
        timeout: Duration,
        fits: impl Fn(&str) -> bool,
    ) -> Result<String, ProcessError> {
        let line = self
            .stdout
            .wait_for(timeout, |line| fits(line).then(|| line.to_owned()));
        line.ok_or_else(|| self.late("a line on stdout", timeout))
    }

    /// Waits for the first line on stderr that fits, from the start of the process on, and returns it.
    ///
    /// # Errors
    /// When none is there within `timeout` or before stderr ends.
    pub fn wait_for_stderr(
        &self,
        timeout: Duration,
        fits: impl Fn(&str) -> bool,
    ) -> Result<String, ProcessError> {
        let line = self
            .stderr
            .wait_for(timeout, |line| fits(line).then(|| line.to_owned()));
        line.ok_or_else(|| self.late("a line on stderr", timeout))
    }

    /// Waits until stderr names the bound address as `http://ADDRESS:PORT`, and returns it.
    ///
    /// # Errors
    /// When no line does within `timeout` or before stderr ends.
    pub fn wait_for_address(&self, timeout: Duration) -> Result<SocketAddr, ProcessError> {
        self.stderr
            .wait_for(timeout, address_in)
            .ok_or_else(|| self.late("the bound address", timeout))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        kill_process(self.pid(), signal).map_err(|errno| ProcessError::Control(errno.into()))
    }

    /// Waits until the process has ended and both of its outputs are read to the end.
    ///
    /// # Errors
    /// When it has not ended within `timeout`.
    pub fn wait_exit(&mut self, timeout: Duration) -> Result<ExitStatus, ProcessError> {
        let deadline = Instant::now() + timeout;
        let ended = self.stdout.wait_for_end(timeout) && self.stderr.wait_for_end(until(deadline));
        if !ended {
            return Err(self.late("the exit", timeout));
        }
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(self.late("the exit", timeout));
            }
            // Both outputs are closed: what is left of the process takes microseconds.
            thread::yield_now();
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn late(&self, what: &str, waited: Duration) -> ProcessError {
        let mut stderr = self.stderr();
        stderr.drain(..stderr.len().saturating_sub(10));
        ProcessError::Timeout {
            what: what.to_owned(),
            waited,
            stderr,
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail only when the process has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug, Default)]
struct Lines {
    state: Mutex<LinesState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LinesState {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn collect(output: impl Read + Send + 'static) -> Arc<Self> {
        let lines = Arc::new(Self::default());
        let filled = Arc::clone(&lines);
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                filled
                    .lock()
                    .lines
                    .push(String::from_utf8_lossy(&line).into_owned());
                filled.changed.notify_all();
            }
            filled.lock().ended = true;
            filled.changed.notify_all();
        });
        lines
    }

    fn all(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    fn wait_for<T>(&self, timeout: Duration, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let mut seen = 0;
        let mut found = None;
        let state = self.changed.wait_timeout_while(self.lock(), timeout, |state| {
            found = state.lines.iter().skip(seen).find_map(|line| find(line));
            seen = state.lines.len();
            found.is_none() && !state.ended
        });
        drop(state);
        found
    }

    fn wait_for_end(&self, timeout: Duration) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |state| !state.ended);
        waited.expect("take the lock").0.ended
    }

    fn lock(&self) -> MutexGuard<'_, LinesState> {
        self.state.lock().expect("take the lock")
    }
}

fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://")?;
    let end = rest.find(|symbol: char| !(symbol.is_ascii_hexdigit() || ".:[]".contains(symbol)));
    rest.get(..end.unwrap_or(rest.len()))?
        .trim_end_matches(['.', ':'])
        .parse()
        .ok()
}
