//! A measured process: started, its address found, its lines counted, ended by SIGTERM.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use memchr::memmem;
use rustix::process::{Pid, Signal, kill_process, nice};

use super::cores::pin;
use super::receivers::LOWEST;

/// What every line of a measured request has one of in it, and no other line.
const OF_REQUEST: [&str; 2] = ["/api/users/1\"", "\"/v1/chat/completions\""];
/// Time until the address is printed; valgrind makes it long.
const START: Duration = Duration::from_secs(60);
/// What a pipe holds.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that wait to be counted before the output waits too: at most 256 MiB.
const CHUNKS_AHEAD: usize = 4096;
/// Time for the end, deliveries included.
const END: Duration = Duration::from_secs(60);

/// A running server; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    stdout: Option<JoinHandle<Lines>>,
    stderr: Arc<Mutex<Vec<String>>>,
}

/// What came on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lines {
    /// Lines that tell of a measured request.
    pub(crate) of_requests: u64,
    pub(crate) all: u64,
}

impl Server {
    /// Starts `command` and waits until it says on stderr where it listens.
    ///
    /// # Errors
    /// When it cannot be started, or ends or stays silent instead.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        Self::of(spawn(command)?, count_lines)
    }

    /// The same, with the server on one core. Its output is read on the cores of this thread.
    ///
    /// # Errors
    /// When it does not start there.
    pub(crate) fn start_on(core: usize, command: &mut Command) -> Result<Self> {
        Self::of(spawn_on(core, command)?, count_lines)
    }

    /// The same, for a load with a schedule to keep: the output is taken in passing and counted when there is time.
    ///
    /// # Errors
    /// When it does not start there.
    pub(crate) fn start_on_behind(core: usize, command: &mut Command) -> Result<Self> {
        Self::of(spawn_on(core, command)?, count_behind)
    }

    fn of(mut child: Child, count: fn(ChildStdout) -> Lines) -> Result<Self> {
        let stdout = child.stdout.take().context("take the stdout of the server")?;
        let stdout = thread::spawn(move || count(stdout));
        let output = child.stderr.take().context("take the stderr of the server")?;
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&stderr);
        let (found, address) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(address) = address_in(&line) {
                    // Nobody listens any more once the first is taken.
                    let _ = found.send(address);
                }
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let mut server = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            stdout: Some(stdout),
            stderr,
        };
        match address.recv_timeout(START) {
            Ok(address) => server.address = address,
            Err(_) => bail!("wait for the address of the server; it said: {}", server.said()),
        }
        Ok(server)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, waits for its end, and returns how many lines it wrote.
    ///
    /// # Errors
    /// When it does not stop or fails.
    pub(crate) fn stop(mut self) -> Result<Lines> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).context("ask the server to stop")?;
        let deadline = Instant::now() + END;
        let status = loop {
            if let Some(status) = self.child.try_wait().context("wait for the server")? {
                break status;
            }
            if Instant::now() > deadline {
                bail!(
                    "wait for the server's end: not within {END:?}; it said: {}",
                    self.said()
                );
            }
            thread::sleep(Duration::from_millis(5));
        };
        if !status.success() {
            bail!("the server ended with {status}; it said: {}", self.said());
        }
        let lines = self.stdout.take().context("take the count of lines")?;
        lines
            .join()
            .map_err(|_| anyhow::anyhow!("count the lines of the server"))
    }

    fn said(&self) -> String {
        let lines = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let start = lines.len().saturating_sub(10);
        lines.get(start..).unwrap_or_default().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &mut Command) -> Result<Child> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", command.get_program().to_string_lossy()))
}

/// A process starts on the cores of the thread that makes it.
fn spawn_on(core: usize, command: &mut Command) -> Result<Child> {
    thread::scope(|scope| {
        let start = scope.spawn(|| {
            pin(core)?;
            spawn(command)
        });
        start.join().map_err(|_| anyhow::anyhow!("start the server"))?
    })
}

/// Takes the output as soon as it comes, which costs a copy, and counts with the lowest priority.
///
/// A reader of the lowest priority waits for a busy load so long that the server's queue fills, and it discards lines.
fn count_behind(mut output: impl Read) -> Lines {
    let (taken, chunks) = mpsc::sync_channel(CHUNKS_AHEAD);
    let counting = thread::spawn(|| {
        // At its own priority it counts as well.
        let _ = nice(LOWEST);
        count_lines(Chunks {
            chunks,
            chunk: io::Cursor::default(),
        })
    });
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let length = match output.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => break,
            Ok(length) => length,
        };
        let chunk = buffer.get(..length).unwrap_or_default();
        if taken.send(chunk.to_vec()).is_err() {
            break;
        }
    }
    drop(taken);
    counting.join().unwrap_or_default()
}

/// Chunks of an output, one after the other; ends when no more are taken.
struct Chunks {
    chunks: Receiver<Vec<u8>>,
    chunk: io::Cursor<Vec<u8>>,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.chunk.read(buffer)?;
            if length > 0 {
                return Ok(length);
            }
            let Ok(next) = self.chunks.recv() else {
                return Ok(0);
            };
            self.chunk = io::Cursor::new(next);
        }
    }
}

fn count_lines(output: impl Read) -> Lines {
    let wanted = OF_REQUEST.map(memmem::Finder::new);
    let mut reader = BufReader::with_capacity(256 * 1024, output);
    let mut line = Vec::new();
    let mut lines = Lines::default();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return lines,
            Ok(_) => lines.all += 1,
        }
        if wanted.iter().any(|path| path.find(&line).is_some()) {
            lines.of_requests += 1;
        }
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://")?;
    let end = rest.find(|symbol: char| !(symbol.is_ascii_digit() || ".:".contains(symbol)));
    rest.get(..end.unwrap_or(rest.len()))?
        .trim_end_matches(['.', ':'])
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::{CHUNK_BYTES, Lines, address_in, count_behind, count_lines};

    #[test]
    fn the_address_is_found_in_a_sentence() {
        let found = address_in("Listening on http://127.0.0.1:8000, docs on /docs.");

        assert_eq!(found, Some(([127, 0, 0, 1], 8000).into()));
        assert_eq!(address_in("Listening"), None);
    }

    #[test]
    fn lines_that_are_cut_between_two_chunks_are_counted_whole() {
        let line = b"{\"endpoint\":\"/api/users/1\"}\n";
        let output = line.repeat(CHUNK_BYTES / 10);

        let lines = count_behind(output.as_slice());

        let expected = Lines {
            of_requests: CHUNK_BYTES as u64 / 10,
            all: CHUNK_BYTES as u64 / 10,
        };
        assert_eq!(lines, expected);
    }

    #[test]
    fn lines_of_requests_are_told_from_others() {
        let output = b"{\"endpoint\":\"/api/users/1\"}\n{\"message\":\"Started\"}\n\
            {\"endpoint\":\"/v1/chat/completions\"}\n{\"endpoint\":\"/r7/api/users/1\"}\n";

        let lines = count_lines(output.as_slice());

        let expected = Lines {
            of_requests: 3,
            all: 4,
        };
        assert_eq!(lines, expected);
    }
}
