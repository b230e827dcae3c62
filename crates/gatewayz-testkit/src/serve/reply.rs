//! Answers on the wire, whole and broken.

use std::io::Result;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};
use http::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::Traffic;

/// Size of an endless body, and of a bomb that has gone off.
pub(crate) const ENDLESS_BYTES: u64 = 1 << 30;
/// Time between two bytes of a body that drips.
pub(crate) const DRIP_INTERVAL: Duration = Duration::from_millis(100);
/// A body that never goes on starts so.
pub(crate) const STUCK_START: &[u8] = b"started";

/// What a connection does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Whole(Whole),
    /// As `Whole`; then the connection is closed, which nothing in the answer has said.
    WholeThenClose(Whole),
    Hang,
    Cut,
    Reset,
    Endless(u16),
    GzipBomb(u16),
    Drip(u16),
    Stuck(u16),
}

impl Reply {
    /// Status of the answer, `None` when there is none.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Whole(whole) | Self::WholeThenClose(whole) => Some(whole.status),
            Self::Endless(status) | Self::GzipBomb(status) | Self::Drip(status) | Self::Stuck(status) => {
                Some(*status)
            }
            Self::Hang | Self::Cut | Self::Reset => None,
        }
    }
}

/// One complete answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Whole {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Whole {
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub(crate) fn text(status: u16, body: String) -> Self {
        Self {
            body: body.into(),
            ..Self::status(status)
        }
    }

    pub(crate) fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) async fn write(&self, stream: &mut TcpStream, traffic: &Traffic) -> Result<()> {
        let mut head = status_line(self.status);
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if self.status != 204 || !self.body.is_empty() {
            head.extend(["Content-Length: ", &self.body.len().to_string(), "\r\n"]);
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        stream.write_all(&bytes).await?;
        traffic.sent(self.body.len());
        Ok(())
    }
}

pub(super) async fn endless(status: u16, stream: &mut TcpStream, traffic: &Traffic) -> Result<()> {
    let head = format!("{}Content-Length: {ENDLESS_BYTES}\r\n\r\n", status_line(status));
    stream.write_all(head.as_bytes()).await?;
    let part = vec![b'x'; 64 * 1024];
    for _ in 0..ENDLESS_BYTES / part.len() as u64 {
        stream.write_all(&part).await?;
        traffic.sent(part.len());
    }
    Ok(())
}

pub(super) async fn drip(status: u16, stream: &mut TcpStream, traffic: &Traffic) -> Result<()> {
    let head = format!("{}Transfer-Encoding: chunked\r\n\r\n", status_line(status));
    stream.write_all(head.as_bytes()).await?;
    loop {
        stream.write_all(b"1\r\nx\r\n").await?;
        traffic.sent(1);
        tokio::time::sleep(DRIP_INTERVAL).await;
    }
}

pub(super) async fn stuck(status: u16, stream: &mut TcpStream) -> Result<()> {
    let head = format!("{}Content-Length: 99\r\n\r\n", status_line(status));
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(STUCK_START).await
}

pub(super) fn gzip_bomb(status: u16) -> Whole {
    Whole {
        body: BOMB.clone(),
        ..Whole::status(status)
    }
    .with_header("Content-Encoding", "gzip")
}

/// A gzip stream of 1 GiB of zeros in about a megabyte.
pub(crate) static BOMB: LazyLock<Bytes> = LazyLock::new(|| {
    // One mebibyte is compressed, up to a byte boundary and without looking back, and then repeated.
    let zeros = vec![0; 1 << 20];
    let repeats = ENDLESS_BYTES / (1 << 20);
    let mut mebibyte = Vec::with_capacity(64 * 1024);
    Compress::new(Compression::best(), false)
        .compress_vec(&zeros, &mut mebibyte, FlushCompress::Full)
        .expect("compress zeros");
    let mut one = Crc::new();
    one.update(&zeros);
    let mut all = Crc::new();
    let mut bomb = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    for _ in 0..repeats {
        bomb.extend_from_slice(&mebibyte);
        all.combine(&one);
    }
    // An empty last block, then checksum and length.
    bomb.extend_from_slice(b"\x03\0");
    bomb.extend_from_slice(&all.sum().to_le_bytes());
    bomb.extend_from_slice(&(ENDLESS_BYTES as u32).to_le_bytes());
    bomb.into()
});

pub(crate) fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

fn status_line(status: u16) -> String {
    let known = StatusCode::from_u16(status).ok();
    let reason = known.and_then(|status| status.canonical_reason());
    format!("HTTP/1.1 {status} {}\r\n", reason.unwrap_or("Scripted"))
}
