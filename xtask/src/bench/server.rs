//! A measured process: started, its address found, its lines counted, ended by SIGTERM.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// What every line of a measured request has one of in it, and no other line.
const OF_REQUEST: [&str; 2] = ["\"/api/users/1\"", "\"/v1/chat/completions\""];
/// Time until the address is printed; valgrind makes it long.
const START: Duration = Duration::from_secs(60);
/// Time for the end, deliveries included.
const END: Duration = Duration::from_secs(60);

/// A running server; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    stdout: Option<JoinHandle<u64>>,
    stderr: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts `command` and waits until it says on stderr where it listens.
    ///
    /// # Errors
    /// When it cannot be started, or ends or stays silent instead.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", command.get_program().to_string_lossy()))?;
        let stdout = child.stdout.take().context("take the stdout of the server")?;
        let stdout = thread::spawn(move || count_request_lines(stdout));
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

    /// Asks it to stop, waits for its end, and returns how many lines told of a request.
    ///
    /// # Errors
    /// When it does not stop or fails.
    pub(crate) fn stop(mut self) -> Result<u64> {
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

fn count_request_lines(output: impl Read) -> u64 {
    let mut reader = BufReader::with_capacity(256 * 1024, output);
    let mut line = Vec::new();
    let mut count = 0;
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return count,
            Ok(_) => {}
        }
        if str::from_utf8(&line).is_ok_and(|line| OF_REQUEST.iter().any(|path| line.contains(path))) {
            count += 1;
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
    use super::{address_in, count_request_lines};

    #[test]
    fn the_address_is_found_in_a_sentence() {
        let found = address_in("Listening on http://127.0.0.1:8000, docs on /docs.");

        assert_eq!(found, Some(([127, 0, 0, 1], 8000).into()));
        assert_eq!(address_in("Listening"), None);
    }

    #[test]
    fn only_lines_of_requests_are_counted() {
        let output = b"{\"endpoint\":\"/api/users/1\"}\n{\"message\":\"Started\"}\n\
            {\"endpoint\":\"/v1/chat/completions\"}\n";

        let count = count_request_lines(output.as_slice());

        assert_eq!(count, 2);
    }
}
