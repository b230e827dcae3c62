//! One connection: each request is read whole and answered by its script.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::script::Step;
use super::{Received, Shared};

/// How often a connection is looked at while nothing is written.
const GLANCE: Duration = Duration::from_millis(5);

enum After {
    Reuse,
    Closed,
    Abandoned,
}

pub(super) fn serve(stream: &TcpStream, shared: &Shared) {
    // Small pieces must leave at once.
    let _ = stream.set_nodelay(true);
    let Ok(reading) = stream.try_clone() else { return };
    let mut reader = BufReader::new(reading);
    while let Some(request) = read(&mut reader) {
        shared.change(|state| state.seen.requests.push(request));
        match play(stream, &shared.next_script().steps) {
            After::Reuse => shared.change(|state| state.seen.completed += 1),
            After::Closed => return,
            After::Abandoned => {
                shared.change(|state| state.seen.abandoned.push(Instant::now()));
                return;
            }
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Received> {
    let target = line(reader)?;
    let target = target
        .rsplit_once(' ')
        .map_or(target.as_str(), |(target, _)| target)
        .to_owned();
    let mut headers = Vec::new();
    loop {
        let line = line(reader)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Received {
        target,
        headers,
        body,
        at: Instant::now(),
    })
}

fn line(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let read = reader.read_line(&mut line).ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}

fn play(mut stream: &TcpStream, steps: &[Step]) -> After {
    for step in steps {
        let written = match step {
            Step::Raw(bytes) => stream.write_all(bytes),
            Step::Chunk(bytes) => write_chunk(stream, bytes),
            Step::End => stream.write_all(b"0\r\n\r\n"),
            Step::Pause(pause) => {
                if is_gone_within(stream, *pause) {
                    return After::Abandoned;
                }
                Ok(())
            }
            Step::Forever(bytes, pause) => loop {
                if write_chunk(stream, bytes).is_err() || is_gone_within(stream, *pause) {
                    return After::Abandoned;
                }
            },
            Step::Hang => {
                while !is_gone_within(stream, Duration::from_secs(1)) {}
                return After::Abandoned;
            }
            Step::Close => {
                let _ = stream.shutdown(Shutdown::Both);
                return After::Closed;
            }
            Step::Reset => {
                let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
                return After::Closed;
            }
        };
        if written.is_err() {
            return After::Abandoned;
        }
    }
    After::Reuse
}

fn write_chunk(mut stream: &TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    stream.write_all(&chunk)
}

/// Whether the caller closes the connection before the time is over; returns as soon as it does.
fn is_gone_within(stream: &TcpStream, time: Duration) -> bool {
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let _ = stream.set_read_timeout(Some(left.min(GLANCE)));
        let peeked = stream.peek(&mut [0]);
        let _ = stream.set_read_timeout(None);
        match peeked {
            Ok(0) => return true,
            // The next request; nobody sends one before the answer is complete.
            Ok(_) => return false,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return true,
        }
    }
}
