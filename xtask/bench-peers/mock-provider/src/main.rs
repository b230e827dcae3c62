//! A provider that answers at once: `mock-provider ADDRESS PAUSE_MILLIS`, the pause being that between two events.
//!
//! It shares a core with the load, so it is no web server: it reads one request, writes bytes made before, and so on.

mod answers;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use answers::Answers;

/// Longest request that is read.
const REQUEST_MAX_BYTES: usize = 1024 * 1024;

fn main() -> Result<()> {
    let listener = workload::bind()?;
    let pause = workload::argument(2, "pause")?
        .parse()
        .map(Duration::from_millis)
        .context("read the pause")?;
    // It lives as long as the process, so every connection can refer to it.
    let answers: &'static Answers = Box::leak(Box::new(Answers::new()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(async {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await.context("take a connection")?;
            stream.set_nodelay(true)?;
            tokio::spawn(serve(stream, answers, pause));
        }
    })
}

/// Answers until the client leaves.
async fn serve(mut stream: TcpStream, answers: &Answers, pause: Duration) -> Result<()> {
    let mut received = Vec::with_capacity(8 * 1024);
    loop {
        let mut length = request_length(&received)?;
        while length.is_none_or(|length| received.len() < length) {
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
            length = request_length(&received)?;
        }
        let length = length.unwrap_or_default();
        let is_stream =
            memmem::find(received.get(..length).unwrap_or_default(), b"\"stream\":true").is_some();
        received.drain(..length);
        if !is_stream {
            stream.write_all(&answers.whole).await?;
        } else if pause.is_zero() {
            stream.write_all(&answers.stream_at_once).await?;
        } else {
            for piece in &answers.stream {
                stream.write_all(piece).await?;
                sleep(pause).await;
            }
        }
    }
}

/// Length of the request with its head; `None` while the head is not whole.
fn request_length(received: &[u8]) -> Result<Option<usize>> {
    let Some(end) = memmem::find(received, b"\r\n\r\n") else {
        ensure!(
            received.len() <= REQUEST_MAX_BYTES,
            "read a request: it is too long"
        );
        return Ok(None);
    };
    let head =
        str::from_utf8(received.get(..end).unwrap_or_default()).context("read the head of a request")?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or("0", |(_, length)| length.trim());
    let length: usize = length.parse().context("read the length of a request")?;
    ensure!(length <= REQUEST_MAX_BYTES, "read a request: it is too long");
    Ok(Some(end + 4 + length))
}

#[cfg(test)]
mod tests {
    use super::request_length;

    #[test]
    fn a_request_is_whole_with_the_last_byte_of_its_announced_length() {
        let head = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n";
        let whole = [head.as_slice(), b"\r\n{}"].concat();

        assert_eq!(request_length(head).unwrap(), None);
        assert_eq!(request_length(&whole).unwrap(), Some(whole.len()));
    }
}
