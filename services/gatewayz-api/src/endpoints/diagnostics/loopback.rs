//! One real HTTP request of this service to itself.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use gatewayz_tracing::w3c::TraceContext;

/// Longest answer that is read, in bytes.
const ANSWER_MAX_BYTES: u64 = 64 * 1024;

/// Asks for `/health` at `bound` as a part of `context`'s trace and gives the status of the answer.
///
/// Each wait for the network ends at `timeout`. The whole answer is read, so that the request has ended when this
/// returns. Blocks.
///
/// # Errors
/// When nobody answers in time, or not in HTTP.
pub(super) fn get_health(bound: SocketAddr, context: &TraceContext, timeout: Duration) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&reachable(bound), timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let traceparent = context.traceparent();
    let mut request =
        b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntraceparent: ".to_vec();
    request.extend_from_slice(&traceparent);
    request.extend_from_slice(b"\r\n\r\n");
    stream.write_all(&request)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX_BYTES).read_to_end(&mut answer)?;
    status_code(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The loopback address in place of "every interface".
fn reachable(bound: SocketAddr) -> SocketAddr {
    let address = match bound.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(address, bound.port())
}

fn status_code(answer: &[u8]) -> Option<u16> {
    let digits = answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_on_every_interface_is_asked_on_loopback() {
        let asked = |bound: &str| reachable(bound.parse().unwrap()).to_string();

        assert_eq!(asked("0.0.0.0:8000"), "127.0.0.1:8000");
        assert_eq!(asked("[::]:8000"), "[::1]:8000");
        assert_eq!(asked("192.0.2.1:8000"), "192.0.2.1:8000");
    }

    #[test]
    fn the_status_is_read_from_the_first_line() {
        assert_eq!(status_code(b"HTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(status_code(b"HTTP/1.1 20"), None);
        assert_eq!(status_code(b"SSH-2.0-OpenSSH"), None);
    }
}
