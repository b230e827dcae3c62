//! The raw client against a scripted peer.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use gatewayz_testkit::http::{Client, ClientError, abort_after_head};

/// Accepts one connection, waits for the end of one request head, writes `answer` and hands the stream back.
fn peer(answer: &'static [u8]) -> (SocketAddr, JoinHandle<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        stream.write_all(answer).unwrap();
        stream
    });
    (address, thread)
}

#[test]
fn a_chunked_answer_is_joined_and_the_connection_stays_usable() {
    let (address, peer) = peer(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n\
          HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    );
    let mut client = Client::connect(address).unwrap();

    let first = client.get("/", &[("Accept", "*/*")]).unwrap();
    let second = client.read_answer().unwrap();

    assert_eq!((first.status, first.text().as_str()), (200, "abcde"));
    assert_eq!((second.status, second.text().as_str()), (404, "no"));
    peer.join().unwrap();
}

#[test]
fn an_answer_cut_short_is_an_error() {
    let (address, peer) = peer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    let mut client = Client::connect(address).unwrap();
    client.send(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    drop(peer.join().unwrap());

    let error = client.read_answer().unwrap_err();

    assert!(matches!(error, ClientError::Connection(error) if error.kind() == ErrorKind::UnexpectedEof));
}

#[test]
fn an_aborted_request_reaches_the_server_as_a_reset() {
    let (address, peer) = peer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");

    let head = abort_after_head(address, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let error = peer.join().unwrap().read(&mut [0]).unwrap_err();

    assert_eq!((head.status, error.kind()), (200, ErrorKind::ConnectionReset));
}
