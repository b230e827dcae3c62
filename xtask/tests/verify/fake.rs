//! An HTTP server of a few lines: what a closure answers, on a free port.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::SystemTime;

use serde_json::Value;
use url::Url;

pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    stopping: Arc<AtomicBool>,
}

pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
    pub(crate) date: SystemTime,
    /// The connection stays open without an answer.
    pub(crate) hangs: bool,
}

impl Request {
    pub(crate) fn parameter(&self, name: &str) -> &str {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }
}

impl Reply {
    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            date: SystemTime::now(),
            hangs: false,
        }
    }

    pub(crate) fn json(body: &Value) -> Self {
        Self::text(200, body.to_string())
    }

    pub(crate) fn not_found() -> Self {
        Self::text(404, "404 page not found")
    }
}

impl Fake {
    pub(crate) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stopping = Arc::new(AtomicBool::new(false));
        let answer = Arc::new(answer);
        let is_stopping = Arc::clone(&stopping);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_stopping.load(Ordering::Relaxed) {
                    return;
                }
                let answer = Arc::clone(&answer);
                thread::spawn(move || serve(stream, &*answer));
            }
        });
        Self { address, stopping }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// A URL that nobody listens at: the port was free a moment ago.
pub(crate) fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn serve(stream: TcpStream, answer: &dyn Fn(&Request) -> Reply) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        let reply = answer(&request);
        if reply.hangs {
            let _ = reader.read(&mut [0]);
            return;
        }
        let mut head = format!(
            "HTTP/1.1 {} Fake\r\nContent-Length: {}\r\nDate: {}\r\n",
            reply.status,
            reply.body.len(),
            httpdate::fmt_http_date(reply.date)
        );
        for (name, value) in &reply.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        let written = reader
            .get_mut()
            .write_all(format!("{head}\r\n{}", reply.body).as_bytes());
        if written.is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = || {
        let mut line = String::new();
        let length = reader.read_line(&mut line).ok()?;
        (length > 0).then(|| line.trim_end().to_owned())
    };
    let first = line()?;
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut words = first.split(' ');
    let method = words.next()?.to_owned();
    let url = Url::parse("http://fake").unwrap().join(words.next()?).ok()?;
    let request = Request {
        method,
        path: url.path().to_owned(),
        query: url.query_pairs().into_owned().collect(),
        headers,
    };
    let length = request.header("content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(request)
}
