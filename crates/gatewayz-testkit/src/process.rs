//! A service under test as a process of its own: environment, output, signals, exit.

mod lines;

use std::fs::File;
use std::io::PipeReader;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};

use lines::{Lines, Reading};
pub use rustix::process::Signal;

/// A running service; killed when dropped.
#[derive(Debug)]
pub struct Service {
    child: Child,
    stdout: Arc<Lines>,
    stdout_end: Mutex<StdoutEnd>,
    stderr: Arc<Lines>,
    _stderr_reading: Reading,
}

/// What the stdout of a service is.
#[derive(Debug)]
pub enum Output {
    /// A pipe that is read all the time.
    Read,
    /// A pipe of the system's default size that nobody reads until [`Service::read_stdout`].
    Held,
    /// This file, for example `/dev/full`.
    File(File),
}

/// The test's end of stdout.
#[derive(Debug)]
enum StdoutEnd {
    Read(Reading),
    Held(PipeReader),
    /// Closed, or never here.
    Gone,
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
        Self::start_with(binary, arguments, environment, directory, Output::Read)
    }

    /// Starts `binary` as [`start`](Self::start) does, with this stdout.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_with(
        binary: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
        directory: &Path,
        output: Output,
    ) -> Result<Self, ProcessError> {
        let (is_held, stdout) = match output {
            Output::Read => (false, Stdio::piped()),
            Output::Held => (true, Stdio::piped()),
            Output::File(file) => (false, file.into()),
        };
        let mut child = Command::new(binary)
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| ProcessError::Start {
                binary: binary.display().to_string(),
                source,
            })?;
        let stdout = Arc::new(Lines::default());
        let stdout_end = match child.stdout.take() {
            None => {
                stdout.end();
                StdoutEnd::Gone
            }
            Some(pipe) if is_held => StdoutEnd::Held(PipeReader::from(OwnedFd::from(pipe))),
            Some(pipe) => StdoutEnd::Read(stdout.collect(pipe)),
        };
        let stderr = Arc::new(Lines::default());
        let stderr_reading = stderr.collect(child.stderr.take().expect("a piped stderr"));
        Ok(Self {
            child,
            stdout,
            stdout_end: Mutex::new(stdout_end),
            stderr,
            _stderr_reading: stderr_reading,
        })
    }

    /// Process id, for reading `/proc`.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Physical memory the process uses now (`VmRSS`), in bytes.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn memory_bytes(&self) -> Result<u64, ProcessError> {
        self.status_bytes("VmRSS:")
    }

    /// The most memory that was resident at any time, in bytes.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn peak_memory_bytes(&self) -> Result<u64, ProcessError> {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> Result<u64, ProcessError> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let kibibytes = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"))
            .and_then(|number| number.parse::<u64>().ok());
        // An ended process that was not waited for has a status without memory.
        let kibibytes = kibibytes.ok_or(std::io::Error::from(std::io::ErrorKind::NotFound))?;
        Ok(kibibytes * 1024)
    }

    /// Reads a stdout that was held from now on, what is in the pipe first.
    pub fn read_stdout(&self) {
        let mut end = self.stdout_end();
        *end = match std::mem::replace(&mut *end, StdoutEnd::Gone) {
            StdoutEnd::Held(pipe) => StdoutEnd::Read(self.stdout.collect(pipe)),
            other @ (StdoutEnd::Read(_) | StdoutEnd::Gone) => other,
        };
    }

    /// Stops reading stdout: the service can write until the pipe is full, until
    /// [`read_stdout`](Self::read_stdout).
    pub fn hold_stdout(&self) {
        let mut end = self.stdout_end();
        *end = match std::mem::replace(&mut *end, StdoutEnd::Gone) {
            StdoutEnd::Read(reading) => StdoutEnd::Held(reading.stop()),
            other @ (StdoutEnd::Held(_) | StdoutEnd::Gone) => other,
        };
    }

    /// Closes the reading end of stdout: writes of the service fail (`EPIPE`). What was not read is lost.
    ///
    /// A process that another thread is starting has a copy of the end for an instant, so that the first write
    /// may still succeed.
    pub fn close_stdout(&self) {
        let mut end = self.stdout_end();
        if let StdoutEnd::Read(reading) = std::mem::replace(&mut *end, StdoutEnd::Gone) {
            drop(reading.stop());
        }
        self.stdout.end();
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

    /// Waits until the process has ended and both of its outputs are read to the end; a stdout that is held is
    /// left as it is.
    ///
    /// # Errors
    /// When it has not ended within `timeout`.
    pub fn wait_exit(&mut self, timeout: Duration) -> Result<ExitStatus, ProcessError> {
        let deadline = Instant::now() + timeout;
        let is_held = matches!(&*self.stdout_end(), StdoutEnd::Held(_));
        let ended =
            (is_held || self.stdout.wait_for_end(timeout)) && self.stderr.wait_for_end(until(deadline));
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

    fn stdout_end(&self) -> MutexGuard<'_, StdoutEnd> {
        self.stdout_end.lock().expect("take the lock")
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
