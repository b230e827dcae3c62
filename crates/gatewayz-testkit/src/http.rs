//! A raw HTTP/1.1 client over a plain socket: what is sent is exactly what the test wrote.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Time after which a read or a write gives up.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer that is read.
const MAX_BODY_BYTES: u64 = 64 * 1024 * 1024;

/// One keep-alive connection.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<TcpStream>,
    address: SocketAddr,
}

/// One answer, its body without transfer coding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers in the order of the wire, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection failed, timed out, or ended inside an answer.
    #[error("talk to the server")]
    Connection(#[from] std::io::Error),
    /// What came back is not HTTP/1.1.
    #[error("read the answer: {0}")]
    Malformed(&'static str),
}

impl Client {
    /// Opens a connection; reads and writes on it give up after 10 seconds.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(address: SocketAddr) -> Result<Self, ClientError> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self {
            reader: BufReader::new(stream),
            address,
        })
    }

    /// Sends `GET path` with these headers and reads the answer.
    ///
    /// # Errors
    /// When the connection fails or the answer is not HTTP.
    pub fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<Answer, ClientError> {
        self.request("GET", path, headers, b"")
    }

    /// Sends `POST path` with these headers and this body, its length declared, and reads the answer.
    ///
    /// # Errors
    /// When the connection fails or the answer is not HTTP.
    pub fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, ClientError> {
        self.request("POST", path, headers, body)
    }

    /// Sends any method and reads the answer; `Host` and, for a body, `Content-Length` are added.
    ///
    /// # Errors
    /// When the connection fails or the answer is not HTTP.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ClientError> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if !body.is_empty() {
            head.extend(["Content-Length: ", &body.len().to_string(), "\r\n"]);
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.send(&bytes)?;
        self.read_answer_to(method)
    }

    /// Writes these bytes as they are.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        Ok(self.reader.get_mut().write_all(bytes)?)
    }

    /// Reads one answer to a request that may have a body in its answer, so not to `HEAD`.
    ///
    /// # Errors
    /// When the connection fails or ends inside the answer, or the answer is not HTTP.
    pub fn read_answer(&mut self) -> Result<Answer, ClientError> {
        self.read_answer_to("GET")
    }

    /// Reads status and headers only; the body stays on the connection, to be taken with
    /// [`read_some`](Self::read_some).
    ///
    /// # Errors
    /// When the connection fails or ends inside the head, or the head is not HTTP.
    pub fn read_head(&mut self) -> Result<Answer, ClientError> {
        let status_line = self.read_line()?;
        let status = status_line
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.get(2..5))
            .and_then(|digits| digits.parse().ok())
            .ok_or(ClientError::Malformed("no status line"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                return Ok(Answer {
                    status,
                    headers,
                    body: Vec::new(),
                });
            }
            let (name, value) = line
                .split_once(':')
                .ok_or(ClientError::Malformed("a header without colon"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Takes what has arrived, at least one byte and at most `limit`; empty when the server closed.
    ///
    /// # Errors
    /// When the connection fails or nothing comes in 10 seconds.
    pub fn read_some(&mut self, limit: usize) -> Result<Vec<u8>, ClientError> {
        let mut bytes = vec![0; limit];
        let length = self.reader.read(&mut bytes)?;
        bytes.truncate(length);
        Ok(bytes)
    }

    /// Waits until the server has closed the connection, and returns whether it did within 10 seconds without
    /// sending anything more.
    pub fn is_closed_by_server(&mut self) -> bool {
        match self.read_some(1) {
            Ok(bytes) => bytes.is_empty(),
            Err(ClientError::Connection(error)) => error.kind() == ErrorKind::ConnectionReset,
            Err(ClientError::Malformed(_)) => false,
        }
    }

    /// Closes the connection with a reset, so that the server sees an error and not an end.
    ///
    /// # Errors
    /// When the socket is gone already.
    pub fn reset(self) -> Result<(), ClientError> {
        Ok(socket2::SockRef::from(self.reader.get_ref()).set_linger(Some(Duration::ZERO))?)
    }

    fn read_answer_to(&mut self, method: &str) -> Result<Answer, ClientError> {
        let mut answer = self.read_head()?;
        while (100..200).contains(&answer.status) {
            answer = self.read_head()?;
        }
        answer.body = if method == "HEAD" || matches!(answer.status, 204 | 304) {
            Vec::new()
        } else if answer
            .header("transfer-encoding")
            .is_some_and(|coding| coding.contains("chunked"))
        {
            self.read_chunked()?
        } else if let Some(length) = answer.header("content-length") {
            let length = length
                .parse()
                .map_err(|_| ClientError::Malformed("a content-length without number"))?;
            self.read_exactly(length)?
        } else {
            let mut body = Vec::new();
            self.reader.by_ref().take(MAX_BODY_BYTES).read_to_end(&mut body)?;
            body
        };
        Ok(answer)
    }

    fn read_chunked(&mut self) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line()?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let length = u64::from_str_radix(digits, 16)
                .map_err(|_| ClientError::Malformed("a chunk without length"))?;
            if length == 0 {
                while !self.read_line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.read_exactly(length)?);
            if !self.read_line()?.is_empty() {
                return Err(ClientError::Malformed("a chunk longer than its length"));
            }
        }
    }

    fn read_exactly(&mut self, length: u64) -> Result<Vec<u8>, ClientError> {
        if length > MAX_BODY_BYTES {
            return Err(ClientError::Malformed("a body above 64 MiB"));
        }
        let mut body = Vec::new();
        self.reader.by_ref().take(length).read_to_end(&mut body)?;
        if u64::try_from(body.len()) != Ok(length) {
            return Err(std::io::Error::from(ErrorKind::UnexpectedEof).into());
        }
        Ok(body)
    }

    fn read_line(&mut self) -> Result<String, ClientError> {
        let mut line = String::new();
        self.reader.by_ref().take(64 * 1024).read_line(&mut line)?;
        let line = line
            .strip_suffix('\n')
            .ok_or_else(|| std::io::Error::from(ErrorKind::UnexpectedEof))?;
        Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
    }
}

impl Answer {
    /// Value of the first header with this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text, what is not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends a request, reads the head of the answer and resets the connection: a client that leaves while its
/// answer is streamed.
///
/// # Errors
/// When the connection fails before the head is there, or the head is not HTTP.
pub fn abort_after_head(address: SocketAddr, request: &[u8]) -> Result<Answer, ClientError> {
    let mut client = Client::connect(address)?;
    client.send(request)?;
    let head = client.read_head()?;
    client.reset()?;
    Ok(head)
}
