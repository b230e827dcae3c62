//! A server on a free port that takes whole export requests and then does what a proper server would not.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use socket2::SockRef;

use crate::ENOUGH;

/// Room of one write to a client that is to be flooded.
pub(crate) const PART_BYTES: usize = 64 * 1024;

/// What a server does with each connection, by its number; the client ends it at the latest.
type Serve = dyn Fn(usize, &mut Peer) -> std::io::Result<()> + Send + Sync;

#[derive(Default)]
struct State {
    connections: usize,
    closed: usize,
    requests: Vec<Vec<u8>>,
    written: usize,
}

pub(crate) struct Server {
    address: String,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Server {
    pub(crate) fn start(
        serve: impl Fn(usize, &mut Peer) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::<(Mutex<State>, Condvar)>::default();
        let accepting = Arc::clone(&shared);
        let serve: Arc<Serve> = Arc::new(serve);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (shared, serve) = (Arc::clone(&accepting), Arc::clone(&serve));
                let number = shared.0.lock().unwrap().connections;
                shared.0.lock().unwrap().connections += 1;
                std::thread::spawn(move || {
                    let mut peer = Peer {
                        stream: stream.unwrap(),
                        shared: Arc::clone(&shared),
                    };
                    // A client that leaves ends the connection, which is what tests look at.
                    let _ = serve(number, &mut peer);
                    drop(peer);
                    shared.0.lock().unwrap().closed += 1;
                    shared.1.notify_all();
                });
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1/traces", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.0.lock().unwrap().connections
    }

    /// The bodies of the requests that came whole.
    pub(crate) fn requests(&self) -> Vec<Vec<u8>> {
        self.shared.0.lock().unwrap().requests.clone()
    }

    /// Bytes that the client's side has taken.
    pub(crate) fn written(&self) -> usize {
        self.shared.0.lock().unwrap().written
    }

    pub(crate) fn wait_for_closed(&self, connections: usize) {
        let state = self.shared.0.lock().unwrap();
        let closed = |state: &mut State| state.closed < connections;
        let (_state, timeout) = self.shared.1.wait_timeout_while(state, ENOUGH, closed).unwrap();
        assert!(!timeout.timed_out(), "the connections stayed open");
    }
}

/// The server's end of one connection.
pub(crate) struct Peer {
    stream: TcpStream,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Peer {
    /// Reads one HTTP/1.1 request; fails when the client is gone.
    pub(crate) fn read_http(&mut self) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.read_bytes(1)?[0]);
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let length = head
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.lines().next());
        let body = self.read_bytes(length.unwrap().parse().unwrap())?;
        self.keep(body);
        Ok(())
    }

    /// Reads the client's preface and one gRPC request on stream 1, and nothing is left to be read: closing with
    /// unread bytes would take back what was answered.
    pub(crate) fn read_grpc(&mut self) -> std::io::Result<()> {
        self.read_bytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len())?;
        self.frame(SETTINGS, 0, &[])?;
        let mut body = Vec::new();
        let (mut whole, mut acknowledged) = (false, false);
        while !(whole && acknowledged) {
            let head = self.read_bytes(9)?;
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let payload = self.read_bytes(length)?;
            match (head[3], head[4]) {
                (SETTINGS, 0) => self.frame(SETTINGS, ACK, &[])?,
                (SETTINGS, _) => acknowledged = true,
                (DATA, flags) => {
                    body.extend_from_slice(&payload);
                    whole = flags & END_STREAM != 0;
                }
                _ => {}
            }
        }
        self.keep(body);
        Ok(())
    }

    /// Writes header fields on stream 1: `:status` and what else is given.
    pub(crate) fn grpc_headers(
        &mut self,
        status: &str,
        fields: &[(&str, &str)],
        end: bool,
    ) -> std::io::Result<()> {
        let status = [(":status", status)];
        let content_type = [("content-type", "application/grpc")];
        let block = hpack(status.iter().chain(&content_type).chain(fields));
        self.frame(HEADERS, END_HEADERS | if end { END_STREAM } else { 0 }, &block)
    }

    pub(crate) fn grpc_trailers(&mut self, fields: &[(&str, &str)]) -> std::io::Result<()> {
        self.frame(HEADERS, END_HEADERS | END_STREAM, &hpack(fields.iter()))
    }

    pub(crate) fn grpc_data(&mut self, payload: &[u8]) -> std::io::Result<()> {
        self.frame(DATA, 0, payload)
    }

    /// Writes a message with its prefix; `compressed` as the prefix says it.
    pub(crate) fn grpc_message(&mut self, compressed: bool, message: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        self.grpc_data(&[&[u8::from(compressed)], &length[..], message].concat())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.shared.0.lock().unwrap().written += bytes.len();
        Ok(())
    }

    /// Repeats `write` until the client is gone.
    pub(crate) fn for_ever(
        &mut self,
        pause: Duration,
        mut write: impl FnMut(&mut Self) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        loop {
            write(self)?;
            // Nobody waits for this: it is the pace of the server.
            std::thread::sleep(pause);
        }
    }

    /// Waits until the client has closed, whatever it sends before.
    pub(crate) fn hang(&mut self) -> std::io::Result<()> {
        let mut part = vec![0; PART_BYTES];
        while self.stream.read(&mut part)? > 0 {}
        Ok(())
    }

    /// Ends the connection with a reset instead of an orderly close.
    pub(crate) fn reset(&mut self) -> std::io::Result<()> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
    }

    fn keep(&self, body: Vec<u8>) {
        self.shared.0.lock().unwrap().requests.push(body);
    }

    fn read_bytes(&mut self, length: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn frame(&mut self, kind: u8, flags: u8, payload: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let stream = if kind == SETTINGS { 0 } else { 1 };
        let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, stream];
        self.write(&[&head, payload].concat())
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Each field literal, without index and Huffman code (RFC 7541, section 6.2.2).
fn hpack<'a>(fields: impl Iterator<Item = &'a (&'a str, &'a str)>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(text.len(), &mut block);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541, section 5.1).
fn length(length: usize, block: &mut Vec<u8>) {
    let Some(mut rest) = length.checked_sub(127) else {
        block.push(u8::try_from(length).unwrap());
        return;
    };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}
