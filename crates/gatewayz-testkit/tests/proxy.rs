//! The proxy between a raw client and a peer that sends back what it gets.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use gatewayz_testkit::proxy::{Fault, Proxy};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends back what each connection sends, and tells what it got, at last that nothing more comes.
fn echo() -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let tell = tell.clone();
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut bytes = vec![0; 64 * 1024];
                while let Ok(length @ 1..) = stream.read(&mut bytes) {
                    let _ = tell.send(bytes[..length].to_vec());
                    if stream.write_all(&bytes[..length]).is_err() {
                        break;
                    }
                }
                let _ = tell.send(Vec::new());
            });
        }
    });
    (address, told)
}

/// All that one connection sent, once it has ended.
fn whole(told: &Receiver<Vec<u8>>) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        match told.recv_timeout(TIMEOUT).unwrap().as_slice() {
            [] => return whole,
            part => whole.extend_from_slice(part),
        }
    }
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect_timeout(&proxy.address(), TIMEOUT).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}

fn read(stream: &mut TcpStream, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).map(|()| bytes)
}

#[track_caller]
fn check_echo(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    assert_eq!(read(stream, bytes.len()).unwrap(), bytes);
}

/// A reset, or a clean end when `false`.
#[track_caller]
fn check_ended(stream: &mut TcpStream, is_reset: bool) {
    match stream.read(&mut [0]) {
        Ok(length) => assert_eq!((length, is_reset), (0, false)),
        Err(error) => assert!(is_reset && error.kind() == ErrorKind::ConnectionReset, "{error}"),
    }
}

#[test]
fn everything_passes_both_ways_and_ends_pass_too() {
    let (target, told) = echo();
    let proxy = Proxy::start(target);
    let mut client = connect(&proxy);
    let megabyte: Vec<u8> = (0..1 << 20).map(|n: u32| n as u8).collect();

    let sent = megabyte.clone();
    let mut sending = client.try_clone().unwrap();
    let sender = thread::spawn(move || {
        sending.write_all(&sent).unwrap();
        sending.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut echoed = Vec::new();
    client.read_to_end(&mut echoed).unwrap();

    sender.join().unwrap();
    assert!(echoed == megabyte);
    assert!(whole(&told) == megabyte);
    assert!(proxy.wait_for_closed(1, TIMEOUT));
    assert_eq!((proxy.connections(), proxy.open_connections()), (1, 0));
}

#[test]
fn latency_delays_a_stream_without_slowing_it_down() {
    let (target, _told) = echo();
    let proxy = Proxy::start(target);
    let mut client = connect(&proxy);
    check_echo(&mut client, b"warm");

    for (fault, at_least) in [
        (Fault::Latency(Duration::from_millis(100)), 200),
        (Fault::AnswerLatency(Duration::from_millis(150)), 150),
    ] {
        proxy.set(fault);
        let start = Instant::now();
        // Far more chunks than a second has such delays.
        check_echo(&mut client, &[7; 128 * 1024]);
        let took = start.elapsed();

        assert!(took >= Duration::from_millis(at_least), "{fault:?}: {took:?}");
        assert!(took < Duration::from_secs(5), "{fault:?}: {took:?}");
    }
    proxy.set(Fault::Latency(Duration::from_secs(3_600)));
    client.write_all(b"late").unwrap();
    proxy.set(Fault::Pass);
    assert_eq!(read(&mut client, 4).unwrap(), b"late");
}

#[test]
fn a_hanging_proxy_accepts_and_goes_on_where_it_stopped() {
    let (target, told) = echo();
    let proxy = Proxy::start(target);
    let mut old = connect(&proxy);
    check_echo(&mut old, b"old");
    proxy.set(Fault::Hang);

    let mut new = connect(&proxy);
    new.write_all(b"new").unwrap();
    old.write_all(b"held").unwrap();

    assert!(proxy.wait_for_connections(2, TIMEOUT));
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [b"old"]);
    old.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert_eq!(old.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    old.set_read_timeout(Some(TIMEOUT)).unwrap();
    proxy.set(Fault::Pass);
    assert_eq!(read(&mut new, 3).unwrap(), b"new");
    assert_eq!(read(&mut old, 4).unwrap(), b"held");
}

#[test]
fn a_refusing_proxy_has_nobody_on_its_port_and_comes_back() {
    let (target, _told) = echo();
    let proxy = Proxy::start(target);
    for _ in 0..3 {
        let mut old = connect(&proxy);
        check_echo(&mut old, b"up");

        proxy.set(Fault::Refuse);
        let refused = TcpStream::connect(proxy.address()).unwrap_err();

        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        check_ended(&mut old, false);
        let taken = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        assert!(
            taken.bind(&proxy.address().into()).is_err(),
            "the port is anybody's"
        );
        proxy.set(Fault::Pass);
    }
    check_echo(&mut connect(&proxy), b"back");
}

#[test]
fn a_reset_reaches_open_and_new_connections_and_the_target() {
    let (target, told) = echo();
    let proxy = Proxy::start(target);
    let mut old = connect(&proxy);
    check_echo(&mut old, b"up");

    proxy.set(Fault::Reset);

    check_ended(&mut old, true);
    // It may be there too early to be seen as connected.
    let new = TcpStream::connect(proxy.address()).and_then(|mut stream| stream.read(&mut [0]));
    assert_eq!(new.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(told.recv_timeout(TIMEOUT).unwrap(), b"up");
    assert_eq!(
        told.recv_timeout(TIMEOUT).unwrap(),
        b"",
        "the target's side ended"
    );
    proxy.set(Fault::Pass);
    check_echo(&mut connect(&proxy), b"back");
}

#[test]
fn a_limit_lets_so_many_bytes_through_and_then_resets() {
    let (target, told) = echo();
    let proxy = Proxy::start(target);
    let mut old = connect(&proxy);
    check_echo(&mut old, b"not counted");
    proxy.set(Fault::LimitRequestBytes(5));

    check_echo(&mut old, b"abc");
    proxy.set(Fault::LimitRequestBytes(5));
    check_echo(&mut old, b"defg");
    old.write_all(b"hij").unwrap();

    let mut rest = Vec::new();
    let end = old.read_to_end(&mut rest).unwrap_err();
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    let got = whole(&told);
    assert!(
        b"not countedabcdefgh".starts_with(&got) && got.len() >= 18,
        "{got:?}"
    );
    check_echo(&mut connect(&proxy), b"fresh");
}

#[test]
fn with_no_answer_bytes_the_target_has_the_whole_request() {
    let (target, told) = echo();
    let proxy = Proxy::start(target);
    proxy.set(Fault::LimitAnswerBytes(0));
    let mut client = connect(&proxy);

    client.write_all(b"request").unwrap();

    check_ended(&mut client, true);
    assert_eq!(told.recv_timeout(TIMEOUT).unwrap(), b"request");
}

#[test]
fn bandwidth_spreads_bytes_over_time() {
    let (target, _told) = echo();
    let proxy = Proxy::start(target);
    proxy.set(Fault::Bandwidth(10_000));
    let mut client = connect(&proxy);
    let start = Instant::now();

    check_echo(&mut client, &[1; 3_000]);

    let took = start.elapsed();
    assert!(took >= Duration::from_millis(300), "{took:?}");
    client.write_all(&[2; 1 << 20]).unwrap();
    proxy.set(Fault::Pass);
    assert_eq!(read(&mut client, 1 << 20).unwrap(), [2; 1 << 20]);
}

#[test]
fn a_target_that_is_not_there_closes_the_client() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::start(free);

    check_ended(&mut connect(&proxy), false);
}

#[test]
fn a_dropped_proxy_closes_everything() {
    let (target, _told) = echo();
    let proxy = Proxy::start(target);
    let mut client = connect(&proxy);
    check_echo(&mut client, b"up");
    let address = proxy.address();

    drop(proxy);

    check_ended(&mut client, false);
    assert!(TcpStream::connect(address).is_err());
}
