//! Reads requests of HTTP/1.1 from a connection.

use std::io::{Error, ErrorKind, Result};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Largest body that is read.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case, in the order of the wire; values that are not UTF-8 replaced.
    pub(crate) headers: Vec<(String, String)>,
    /// Without transfer coding.
    pub(crate) body: Bytes,
    /// When the body was complete.
    pub(crate) received_at: Instant,
}

/// The start of a request; its body is still to be read.
#[derive(Debug)]
pub(crate) struct Head {
    request: Request,
    pub(crate) closes: bool,
}

/// A connection with what was read ahead.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    ahead: BytesMut,
}

impl Request {
    /// Value of the first header with this lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The path without a query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// Value of the first header with this lower-case name.
pub(crate) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            ahead: BytesMut::new(),
        }
    }

    /// The next head; `None` when the sender closed.
    pub(crate) async fn read_head(&mut self) -> Result<Option<Head>> {
        let mut searched = 0;
        loop {
            let from = searched.min(self.ahead.len());
            if let Some(end) = find(self.ahead.get(from..).unwrap_or_default(), b"\r\n\r\n") {
                let head = self.ahead.split_to(from + end);
                self.ahead.advance(4);
                return parse(&String::from_utf8_lossy(&head)).map(Some);
            }
            searched = self.ahead.len().saturating_sub(3);
            if self.ahead.len() > MAX_HEAD_BYTES {
                return Err(malformed("a head above 64 KiB"));
            }
            if self.read_more().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The whole request; `None` when its body is above [`MAX_BODY_BYTES`].
    pub(crate) async fn read_body(&mut self, head: Head) -> Result<Option<Request>> {
        let mut request = head.request;
        if request.header("expect").is_some() {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = if request
            .header("transfer-encoding")
            .is_some_and(|coding| coding.contains("chunked"))
        {
            self.read_chunked().await?
        } else {
            let length = request.header("content-length").unwrap_or("0").parse();
            self.read_exactly(length.map_err(|_| malformed("a content-length without number"))?)
                .await?
        };
        Ok(body.map(|body| {
            request.body = body;
            request.received_at = Instant::now();
            request
        }))
    }

    /// Returns when the sender has closed its side or the connection has failed.
    pub(crate) async fn gone(&mut self) {
        while self.ahead.len() <= MAX_BODY_BYTES {
            if !matches!(self.read_more().await, Ok(1..)) {
                return;
            }
        }
    }

    async fn read_chunked(&mut self) -> Result<Option<Bytes>> {
        let mut body = BytesMut::new();
        loop {
            let line = self.read_line().await?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let length =
                usize::from_str_radix(digits, 16).map_err(|_| malformed("a chunk without length"))?;
            if length == 0 {
                while !self.read_line().await?.is_empty() {}
                return Ok(Some(body.freeze()));
            }
            if length.saturating_add(body.len()) > MAX_BODY_BYTES {
                return Ok(None);
            }
            body.extend(self.read_exactly(length).await?);
            if !self.read_line().await?.is_empty() {
                return Err(malformed("a chunk longer than its length"));
            }
        }
    }

    async fn read_line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = find(&self.ahead, b"\r\n") {
                let line = self.ahead.split_to(end);
                self.ahead.advance(2);
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if self.ahead.len() > MAX_HEAD_BYTES || self.read_more().await? == 0 {
                return Err(malformed("a line without end"));
            }
        }
    }

    async fn read_exactly(&mut self, length: usize) -> Result<Option<Bytes>> {
        if length > MAX_BODY_BYTES {
            return Ok(None);
        }
        while self.ahead.len() < length {
            self.ahead.reserve(length - self.ahead.len());
            if self.read_more().await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Some(self.ahead.split_to(length).freeze()))
    }

    async fn read_more(&mut self) -> Result<usize> {
        self.stream.read_buf(&mut self.ahead).await
    }
}

fn parse(text: &str) -> Result<Head> {
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
        return Err(malformed("no request line"));
    };
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| malformed("a header without colon"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let closes = version == "HTTP/1.0" || header(&headers, "connection") == Some("close");
    let request = Request {
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        body: Bytes::new(),
        received_at: Instant::now(),
    };
    Ok(Head { request, closes })
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn malformed(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}
