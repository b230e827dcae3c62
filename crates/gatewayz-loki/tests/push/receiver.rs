//! A blocking HTTP/1.1 server on a free port that answers by script and keeps what it was sent.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use crate::ENOUGH;

#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A status with header lines and a body.
    Whole(u16, &'static str, Vec<u8>),
    /// A 204 without notice that the connection is closed after it.
    LastOne,
    /// Reads the request, closes without an answer.
    Cut,
    /// Reads the request, never answers.
    Hang,
    /// A status and a body of 1 GiB, as fast as it is taken.
    Endless(u16),
    /// A status and the start of a body that never goes on.
    Stuck(u16),
}

pub(crate) fn status(code: u16) -> Answer {
    Answer::Whole(code, "", Vec::new())
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Received {
    pub(crate) request_line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

#[derive(Default)]
struct State {
    script: VecDeque<Answer>,
    received: Vec<Received>,
    connections: usize,
    closed: usize,
    endless_bytes: usize,
}

/// Answers 204 once its script is used up.
pub(crate) struct Receiver {
    url: String,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Receiver {
    pub(crate) fn start(script: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/loki/api/v1/push", listener.local_addr().unwrap());
        let shared = Arc::new((Mutex::new(State::default()), Condvar::new()));
        shared.0.lock().unwrap().script = script.into_iter().collect();
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&accepting);
                shared.0.lock().unwrap().connections += 1;
                std::thread::spawn(move || {
                    // A client that leaves ends the connection, which is what tests look at.
                    let _ = serve(stream.unwrap(), &shared.0);
                    shared.0.lock().unwrap().closed += 1;
                    shared.1.notify_all();
                });
            }
        });
        Self { url, shared }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.0.lock().unwrap().received.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.0.lock().unwrap().connections
    }

    pub(crate) fn endless_bytes(&self) -> usize {
        self.shared.0.lock().unwrap().endless_bytes
    }

    pub(crate) fn wait_for_closed(&self, connections: usize) {
        let state = self.shared.0.lock().unwrap();
        let (_state, timeout) = self
            .shared
            .1
            .wait_timeout_while(state, ENOUGH, |state| state.closed < connections)
            .unwrap();
        assert!(!timeout.timed_out(), "the connections stayed open");
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    while let Some(request) = read_request(&mut reader)? {
        let answer = {
            let mut state = state.lock().unwrap();
            state.received.push(request);
            state.script.pop_front().unwrap_or(status(204))
        };
        match answer {
            Answer::Whole(code, headers, body) => {
                let length = body.len();
                write!(
                    writer,
                    "HTTP/1.1 {code} Scripted\r\nContent-Length: {length}\r\n{headers}\r\n"
                )?;
                writer.write_all(&body)?;
            }
            Answer::LastOne => {
                write!(writer, "HTTP/1.1 204 Scripted\r\n\r\n")?;
                return Ok(());
            }
            Answer::Cut => return Ok(()),
            Answer::Hang => {
                let _ = reader.fill_buf()?;
                return Ok(());
            }
            Answer::Endless(code) => {
                write!(
                    writer,
                    "HTTP/1.1 {code} Scripted\r\nContent-Length: {}\r\n\r\n",
                    1 << 30
                )?;
                let part = [b'x'; 64 * 1024];
                for _ in 0..(1 << 30) / part.len() {
                    writer.write_all(&part)?;
                    state.lock().unwrap().endless_bytes += part.len();
                }
            }
            Answer::Stuck(code) => {
                write!(
                    writer,
                    "HTTP/1.1 {code} Scripted\r\nContent-Length: 99\r\n\r\nstarted"
                )?;
                let _ = reader.fill_buf()?;
                return Ok(());
            }
        }
    }
    Ok(())
}

fn read_request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Received>> {
    let mut request = Received::default();
    if reader.read_line(&mut request.request_line)? == 0 {
        return Ok(None);
    }
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        let (name, value) = line.split_once(':').unwrap();
        request
            .headers
            .push((name.to_ascii_lowercase(), value.trim().to_owned()));
        line.clear();
    }
    let length = request.header("content-length").unwrap().parse().unwrap();
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body)?;
    Ok(Some(request))
}
