//! A listening server: what a client sees on the wire.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use actix_web::rt::task::spawn_blocking;
use actix_web::{App, HttpServer};
use gatewayz_admin_auth::{Guard, Published};

use crate::support::{KEY, WRONG_KEY, attempts, bearer, count, guard, routes};

async fn exchange(address: SocketAddr, request: String) -> String {
    spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            let length = stream.read(&mut buffer).unwrap();
            assert!(length > 0, "the connection closed before an answer");
            answer.extend_from_slice(&buffer[..length]);
        }
        String::from_utf8(answer).unwrap().to_lowercase()
    })
    .await
    .unwrap()
}

fn serve(guard: &Guard) -> (SocketAddr, actix_web::dev::ServerHandle) {
    let guard = guard.clone();
    let server = HttpServer::new(move || App::new().configure(routes).wrap(guard.clone()))
        .workers(2)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    (address, handle)
}

#[actix_web::test]
async fn a_refusal_comes_before_the_body_was_sent() {
    let guard = guard(&[KEY], Published::Refused);
    let (address, server) = serve(&guard);

    let request = "POST /admin/1 HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n";
    let answer = exchange(address, request.to_owned()).await;

    assert!(answer.starts_with("http/1.1 401 "), "{answer}");
    assert!(
        answer.contains("www-authenticate: bearer realm=\"gatewayz-admin\"\r\n"),
        "{answer}"
    );
    server.stop(false).await;
}

#[actix_web::test]
async fn duplicate_headers_are_refused_and_one_right_header_is_accepted() {
    let guard = guard(&[KEY], Published::Refused);
    let (address, server) = serve(&guard);
    let header = format!("authorization: {}\r\n", bearer(KEY));

    let once = exchange(
        address,
        format!("GET /admin/1 HTTP/1.1\r\nhost: x\r\n{header}\r\n"),
    )
    .await;
    let twice = exchange(
        address,
        format!("GET /admin/1 HTTP/1.1\r\nhost: x\r\n{header}{header}\r\n"),
    )
    .await;

    assert!(once.starts_with("http/1.1 200 "), "{once}");
    assert!(once.contains("cache-control: no-store\r\n"), "{once}");
    assert!(twice.starts_with("http/1.1 401 "), "{twice}");
    assert!(twice.contains("error=\"invalid_token\""), "{twice}");
    assert_eq!(count(&guard, "accepted", "valid_key"), 1);
    server.stop(false).await;
}

#[actix_web::test]
async fn all_workers_share_one_throttle() {
    let now = std::time::Instant::now();
    let guard = guard(&[KEY], Published::Refused).with_clock(move || now);
    let (address, server) = serve(&guard);
    let wrong = format!(
        "GET /admin/1 HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\n\r\n",
        bearer(WRONG_KEY)
    );

    for _ in 0..50 {
        exchange(address, wrong.clone()).await;
    }
    let last = exchange(address, wrong).await;

    assert!(last.starts_with("http/1.1 429 "), "{last}");
    assert!(last.contains("retry-after: 1\r\n"), "{last}");
    assert_eq!(count(&guard, "refused", "wrong_key"), 20);
    assert_eq!(attempts(&guard), 51);
    server.stop(false).await;
}
