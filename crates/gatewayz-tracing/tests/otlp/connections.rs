//! What becomes of connections between two batches.

use std::time::Instant;

use gatewayz_delivery::{Attempt, Sink};
use gatewayz_tracing::otlp::{OtlpSink, Protocol};

use crate::raw::Server;
use crate::{ENOUGH, batch, send, settings};

#[test]
fn batches_share_one_connection() {
    let server = Server::start(|_, peer| {
        loop {
            peer.read_http()?;
            peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
        }
    });
    let mut sink = OtlpSink::new(&settings(Protocol::HttpProtobuf, &server.url())).unwrap();

    for _ in 0..5 {
        send(&mut sink);
    }

    assert_eq!((server.requests().len(), server.connections()), (5, 1));
}

#[test]
fn a_connection_closed_between_two_batches_costs_no_attempt() {
    let http = Server::start(|_, peer| {
        peer.read_http()?;
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    });
    let grpc = Server::start(|_, peer| {
        peer.read_grpc()?;
        peer.grpc_headers("200", &[], false)?;
        peer.grpc_message(false, b"")?;
        peer.grpc_trailers(&[("grpc-status", "0")])
    });
    for (protocol, server) in [(Protocol::HttpProtobuf, http), (Protocol::Grpc, grpc)] {
        let mut sink = OtlpSink::new(&settings(protocol, &server.url())).unwrap();

        for closed in 1..=20 {
            let attempt = sink.send(&batch(&["one"]), Instant::now() + ENOUGH);
            assert!(matches!(attempt, Attempt::Delivered), "{protocol:?}: {attempt:?}");
            server.wait_for_closed(closed);
        }

        assert_eq!(server.requests().len(), 20);
    }
}
