//! The load: keep-alive connections in a closed loop on one thread, one request in flight on each.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The request of workload W.
const REQUEST: &[u8] =
    b"GET /api/users/1 HTTP/1.1\r\nhost: bench\r\nuser-agent: bench\r\naccept: */*\r\n\r\n";
/// Longest time without a single answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest answer that is read.
const ANSWER_MAX_BYTES: usize = 16 * 1024;

/// How long requests are made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// This many requests.
    Requests(u64),
    /// Until then; what is in flight is awaited.
    Time(Instant),
}

/// Open connections to one server.
#[derive(Debug)]
pub(crate) struct Load {
    streams: Vec<TcpStream>,
}

impl Load {
    /// Opens the connections.
    ///
    /// # Errors
    /// When nobody listens there.
    pub(crate) fn connect(address: SocketAddr, connections: usize) -> Result<Self> {
        let connect = |_| -> Result<TcpStream> {
            let stream = TcpStream::connect_timeout(&address, PATIENCE).context("connect to the server")?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        let streams = (0..connections).map(connect).collect::<Result<_>>()?;
        Ok(Self { streams })
    }

    /// Makes requests, the next on a connection as soon as its answer is whole, and returns how many were answered.
    ///
    /// # Errors
    /// When an answer is not a 200, a connection ends, or nothing is answered for a while.
    pub(crate) fn run(&mut self, until: Until) -> Result<u64> {
        Ok(self.latencies(until)?.len() as u64)
    }

    /// The same, and how long each answer took.
    ///
    /// # Errors
    /// When an answer is not a 200, a connection ends, or nothing is answered for a while.
    pub(crate) fn latencies(&mut self, until: Until) -> Result<Vec<Duration>> {
        let mut ready: Vec<PollFd<'_>> = self
            .streams
            .iter()
            .map(|stream| PollFd::new(stream, PollFlags::IN))
            .collect();
        let mut received = vec![Vec::with_capacity(1024); self.streams.len()];
        let mut sent_at = vec![Instant::now(); self.streams.len()];
        let mut latencies = Vec::new();
        let mut sent = 0;
        let goes_on = |sent: u64| match until {
            Until::Requests(count) => sent < count,
            Until::Time(end) => Instant::now() < end,
        };
        for mut stream in &self.streams {
            if goes_on(sent) {
                stream.write_all(REQUEST).context("send a request")?;
                sent += 1;
            }
        }
        let patience = Timespec {
            tv_sec: PATIENCE.as_secs().cast_signed(),
            tv_nsec: 0,
        };
        while (latencies.len() as u64) < sent {
            let count = poll(&mut ready, Some(&patience)).context("wait for answers")?;
            ensure!(count > 0, "wait for answers: none within {PATIENCE:?}");
            let connections = ready
                .iter()
                .zip(&mut received)
                .zip(&mut sent_at)
                .zip(&self.streams);
            for (((ready, received), sent_at), mut stream) in connections {
                if ready.revents().is_empty() || !read_answer(stream, received)? {
                    continue;
                }
                let now = Instant::now();
                latencies.push(now - *sent_at);
                *sent_at = now;
                if goes_on(sent) {
                    stream.write_all(REQUEST).context("send a request")?;
                    sent += 1;
                }
            }
        }
        Ok(latencies)
    }
}

/// Reads what is there; `true` when that completes an answer.
fn read_answer(mut stream: &TcpStream, received: &mut Vec<u8>) -> Result<bool> {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(0) => bail!("read an answer: the server closed the connection"),
        Ok(length) => received.extend_from_slice(buffer.get(..length).unwrap_or_default()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
        Err(error) => return Err(error).context("read an answer"),
    }
    ensure!(
        received.len() <= ANSWER_MAX_BYTES,
        "read an answer: it is too long"
    );
    let Some(length) = answer_length(received)? else {
        return Ok(false);
    };
    ensure!(received.len() <= length, "read an answer: more than one came");
    if received.len() < length {
        return Ok(false);
    }
    received.clear();
    Ok(true)
}

/// Length of the answer with its head; `None` while the head is not whole.
fn answer_length(received: &[u8]) -> Result<Option<usize>> {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head =
        str::from_utf8(received.get(..end).unwrap_or_default()).context("read the head of an answer")?;
    ensure!(
        head.starts_with("HTTP/1.1 200 "),
        "read an answer: {}",
        head.lines().next().unwrap_or_default()
    );
    let length: usize = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .context("read an answer: no length")?
        .1
        .trim()
        .parse()
        .context("read the length of an answer")?;
    Ok(Some(end + 4 + length))
}

#[cfg(test)]
mod tests {
    use super::answer_length;

    #[test]
    fn an_answer_is_whole_with_the_last_byte_of_its_announced_length() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nContent-Length: 5\r\n";
        let whole = [head.as_slice(), b"\r\nhello"].concat();

        let before = answer_length(head).unwrap();
        let after = answer_length(&whole).unwrap();

        assert_eq!(before, None);
        assert_eq!(after, Some(whole.len()));
    }

    #[test]
    fn another_status_ends_the_run() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

        let error = answer_length(answer).unwrap_err();

        assert!(error.to_string().contains("503"), "{error}");
    }
}
