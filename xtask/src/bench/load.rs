//! The load: keep-alive connections on one thread, one request in flight on each; the next follows on its answer.

mod readable;
mod schedule;

use std::borrow::Cow;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::answer::Answer;

/// The request of workload W.
const REQUEST: &[u8] =
    b"GET /api/users/1 HTTP/1.1\r\nhost: bench\r\nuser-agent: bench\r\naccept: */*\r\n\r\n";
/// What differs between routes.
const FIRST_PATH: &[u8] = b"GET /api/users/1 ";
/// Longest time without a single answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most that is taken from a connection in one turn.
const READ_BYTES: usize = 16 * 1024;

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
    /// Made in turns; never empty.
    requests: Vec<Cow<'static, [u8]>>,
}

impl Load {
    /// Opens the connections, for requests of workload W.
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
        Ok(Self {
            streams,
            requests: vec![Cow::Borrowed(REQUEST)],
        })
    }

    /// Makes this request instead, head and body.
    pub(crate) fn asking(mut self, request: Vec<u8>) -> Self {
        self.requests = vec![Cow::Owned(request)];
        self
    }

    /// Asks each of so many routes in turns.
    pub(crate) fn over(mut self, routes: usize) -> Self {
        let further = (1..routes).map(|index| {
            let path = format!("GET /r{index}/api/users/1 ");
            let rest = REQUEST.get(FIRST_PATH.len()..).unwrap_or_default();
            Cow::Owned([path.as_bytes(), rest].concat())
        });
        self.requests = [Cow::Borrowed(REQUEST)].into_iter().chain(further).collect();
        self
    }

    fn send(&self, mut stream: &TcpStream, index: u64) -> Result<()> {
        let index = index as usize % self.requests.len();
        let request = self.requests.get(index).map(Cow::as_ref);
        stream
            .write_all(request.unwrap_or_default())
            .context("send a request")
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
        let polled = |stream| PollFd::new(stream, PollFlags::IN);
        let mut ready: Vec<PollFd<'_>> = self.streams.iter().map(polled).collect();
        let mut answers: Vec<Answer> = self.streams.iter().map(|_| Answer::default()).collect();
        let mut buffer = vec![0; READ_BYTES];
        let mut sent_at = vec![Instant::now(); self.streams.len()];
        let mut latencies = Vec::new();
        let mut sent = 0;
        let goes_on = |sent: u64| match until {
            Until::Requests(count) => sent < count,
            Until::Time(end) => Instant::now() < end,
        };
        for stream in &self.streams {
            if goes_on(sent) {
                self.send(stream, sent)?;
                sent += 1;
            }
        }
        let patience = timespec(PATIENCE);
        while (latencies.len() as u64) < sent {
            let count = poll(&mut ready, Some(&patience)).context("wait for answers")?;
            ensure!(count > 0, "wait for answers: none within {PATIENCE:?}");
            let connections = ready
                .iter()
                .zip(&mut answers)
                .zip(&mut sent_at)
                .zip(&self.streams);
            for (((ready, answer), sent_at), stream) in connections {
                if ready.revents().is_empty() || !read_some(stream, &mut buffer, answer)? {
                    continue;
                }
                let now = Instant::now();
                latencies.push(now - *sent_at);
                *sent_at = now;
                if goes_on(sent) {
                    self.send(stream, sent)?;
                    sent += 1;
                }
            }
        }
        Ok(latencies)
    }
}

/// Reads what is there; `true` when that completes the answer.
fn read_some(mut stream: &TcpStream, buffer: &mut [u8], answer: &mut Answer) -> Result<bool> {
    match stream.read(buffer) {
        Ok(0) => bail!("read an answer: the server closed the connection"),
        Ok(length) => answer.take(buffer.get(..length).unwrap_or_default()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error).context("read an answer"),
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: time.as_secs().cast_signed(),
        tv_nsec: time.subsec_nanos().into(),
    }
}

/// The time that this share of the answers did not exceed, in milliseconds.
///
/// # Errors
/// When there is no answer.
pub(crate) fn quantile_millis(mut latencies: Vec<Duration>, share: f64) -> Result<f64> {
    latencies.sort_unstable();
    let index = (latencies.len() as f64 * share) as usize;
    let value = latencies
        .get(index.min(latencies.len().saturating_sub(1)))
        .context("answer a request")?;
    Ok(value.as_secs_f64() * 1e3)
}
