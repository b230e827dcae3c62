//! Forwards one connection both ways, as the fault of the moment allows.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{End, Fault};

const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks under way in one direction.
const CHUNKS: usize = 64;
/// How often a second a limited bandwidth lets some bytes go.
const SLICES_PER_SECOND: u64 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Answer,
}

/// The writing end of one direction.
struct Link<'a> {
    to: WriteHalf<'a>,
    direction: Direction,
    fault: watch::Receiver<Fault>,
    /// What is left of a limit in bytes, `None` when it was not looked at since the last change.
    left: Option<u64>,
}

struct Chunk {
    bytes: Vec<u8>,
    read_at: Instant,
}

/// Returns when both directions have ended, or as soon as one has failed.
pub(super) async fn forward(
    client: &mut TcpStream,
    server: &mut TcpStream,
    fault: &watch::Receiver<Fault>,
) -> End {
    // Small packets go on as they come. A socket that refuses is closed already.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let link = |to, direction| Link {
        to,
        direction,
        fault: fault.clone(),
        left: None,
    };
    let requests = pump(from_client, link(to_server, Direction::Request));
    let answers = pump(from_server, link(to_client, Direction::Answer));
    match tokio::try_join!(requests, answers) {
        Ok(_) => End::Close,
        Err(end) => end,
    }
}

async fn pump(mut from: ReadHalf<'_>, mut link: Link<'_>) -> Result<(), End> {
    // A queue in between, so that latency delays a stream without slowing it down.
    let (queue, mut waiting) = mpsc::channel(CHUNKS);
    let read = async move {
        loop {
            let mut bytes = vec![0; CHUNK_BYTES];
            let length = from.read(&mut bytes).await.map_err(|_| End::Reset)?;
            bytes.truncate(length);
            let read_at = Instant::now();
            if length == 0 || queue.send(Chunk { bytes, read_at }).await.is_err() {
                return Ok(read_at);
            }
        }
    };
    let write = async {
        while let Some(chunk) = waiting.recv().await {
            link.write(&chunk).await?;
        }
        Ok(link)
    };
    let (read_at, mut link) = tokio::try_join!(read, write)?;
    link.allowance(1, read_at).await?;
    link.to.shutdown().await.map_err(|_| End::Reset)
}

impl Link<'_> {
    async fn write(&mut self, chunk: &Chunk) -> Result<(), End> {
        let mut rest = chunk.bytes.as_slice();
        while !rest.is_empty() {
            let length = self.allowance(rest.len(), chunk.read_at).await?;
            let (now, later) = rest.split_at(length);
            self.to.write_all(now).await.map_err(|_| End::Reset)?;
            rest = later;
        }
        Ok(())
    }

    /// Waits until bytes that were read at this time may go on, and returns how many of `wanted` may.
    async fn allowance(&mut self, wanted: usize, read_at: Instant) -> Result<usize, End> {
        loop {
            if self.fault.has_changed().unwrap_or_default() {
                self.left = None;
            }
            let fault = *self.fault.borrow_and_update();
            match (fault, self.direction) {
                (Fault::Pass, _)
                | (Fault::AnswerLatency(_) | Fault::LimitAnswerBytes(_), Direction::Request)
                | (Fault::LimitRequestBytes(_), Direction::Answer) => return Ok(wanted),
                // Another part of the proxy ends the connection.
                (Fault::Hang | Fault::Bandwidth(0) | Fault::Refuse | Fault::Reset, _) => {
                    self.changed().await;
                }
                (Fault::Latency(latency), _) | (Fault::AnswerLatency(latency), Direction::Answer) => {
                    if self.is_over(read_at + latency).await {
                        return Ok(wanted);
                    }
                }
                (Fault::LimitRequestBytes(limit), Direction::Request)
                | (Fault::LimitAnswerBytes(limit), Direction::Answer) => {
                    let left = self.left.get_or_insert(limit);
                    let allowed = usize::try_from(*left).unwrap_or(usize::MAX).min(wanted);
                    *left -= allowed as u64;
                    return if allowed == 0 {
                        Err(End::Reset)
                    } else {
                        Ok(allowed)
                    };
                }
                (Fault::Bandwidth(bytes_per_second), _) => {
                    let slice = (bytes_per_second / SLICES_PER_SECOND).max(1);
                    let slice = usize::try_from(slice).unwrap_or(usize::MAX).min(wanted);
                    let pause = Duration::from_secs_f64(slice as f64 / bytes_per_second as f64);
                    if self.is_over(Instant::now() + pause).await {
                        return Ok(slice);
                    }
                }
            }
        }
    }

    /// Waits until then, and returns whether the fault is still the same.
    async fn is_over(&mut self, deadline: Instant) -> bool {
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => true,
            () = self.changed() => false,
        }
    }

    async fn changed(&mut self) {
        if self.fault.changed().await.is_err() {
            // The proxy is being dropped, and this with it.
            std::future::pending::<()>().await;
        }
        self.left = None;
    }
}
