//! Answers as a backend in trouble, or one that means harm, gives them.

use std::io::Read;
use std::time::{Duration, SystemTime};

use gatewayz_testkit::http::{Client, ClientError};
use gatewayz_testkit::loki::{Answer, Receiver, RetryAfter};

use crate::{JSON, TIMEOUT, json, kept, line, now, push};

/// Sends one push with this text and does not wait for the answer.
fn send(receiver: &Receiver, text: &str) -> Client {
    let mut client = Client::connect(receiver.address()).unwrap();
    let body = json(&[line("a", now(), text)]);
    let head = format!(
        "POST /loki/api/v1/push HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(&[head.as_bytes(), &body].concat()).unwrap();
    client
}

#[test]
fn scripted_answers_come_in_order_then_always_then_normally() {
    let receiver = Receiver::start();
    receiver.answer_next(vec![
        Answer::Status(503),
        Answer::StatusWithBody(400, b"why".to_vec()),
        Answer::Status(206),
        Answer::Delay(Duration::from_millis(1)),
    ]);
    receiver.answer_always(Answer::Status(502));
    let mut answers: Vec<_> = (0..6)
        .map(|n| push(&receiver, &[line("a", now(), &n.to_string())]))
        .collect();

    receiver.answer_normally();
    answers.push(push(&receiver, &[line("a", now(), "6")]));

    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [503, 400, 206, 204, 502, 502, 204]);
    assert_eq!(answers[1].text(), "why");
    assert_eq!(kept(&receiver), ["2", "3", "6"]);
}

#[test]
fn headers_are_sent_as_scripted() {
    let receiver = Receiver::start();
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    receiver.answer_next(vec![
        Answer::StatusWithRetry(429, RetryAfter::Seconds(7)),
        Answer::StatusWithRetry(503, RetryAfter::At(at)),
        Answer::StatusWithHeaders(429, vec![("Retry-After".to_owned(), "soon".to_owned())]),
        Answer::Redirect("http://127.0.0.1:1/stolen".to_owned()),
    ]);

    let header = |name| push(&receiver, &[]).header(name).unwrap().to_owned();

    assert_eq!(header("retry-after"), "7");
    assert_eq!(header("retry-after"), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(header("retry-after"), "soon");
    assert_eq!(header("location"), "http://127.0.0.1:1/stolen");
    assert_eq!(receiver.requests()[3].status, Some(307));
}

#[test]
fn a_connection_that_is_cut_tells_nothing_and_keeps_only_what_was_said() {
    let receiver = Receiver::start();
    receiver.answer_next(vec![Answer::Cut, Answer::StoreThenCut]);

    for text in ["lost", "kept"] {
        let mut client = send(&receiver, text);
        assert_eq!(client.read_some(1).unwrap(), b"");
    }

    assert_eq!(kept(&receiver), ["kept"]);
    assert!(receiver.requests().iter().all(|request| request.status.is_none()));
}

#[test]
fn a_reset_is_a_reset() {
    let receiver = Receiver::start();
    receiver.answer_next(vec![Answer::Reset]);

    let error = send(&receiver, "lost").read_some(1).unwrap_err();

    assert!(
        matches!(&error, ClientError::Connection(error) if error.kind() == std::io::ErrorKind::ConnectionReset),
        "{error:?}"
    );
    assert_eq!((receiver.line_count(), receiver.request_count()), (0, 1));
}

#[test]
fn a_push_that_hangs_is_open_until_its_sender_leaves() {
    let receiver = Receiver::start();
    receiver.answer_next(vec![Answer::Hang, Answer::StoreThenHang]);

    let clients = [send(&receiver, "lost"), send(&receiver, "kept")];

    assert!(receiver.wait_for_requests(2, TIMEOUT));
    assert_eq!(receiver.wait_for_unique(1, TIMEOUT), Ok(()));
    assert_eq!(receiver.max_concurrent_requests(), 2);
    assert!(!receiver.wait_for_closed(1, Duration::ZERO));
    drop(clients);
    assert!(receiver.wait_for_closed(2, TIMEOUT));
    assert_eq!(receiver.line_count(), 1);
}

#[test]
fn a_delayed_push_is_not_kept_when_its_sender_leaves() {
    let receiver = Receiver::start();
    receiver.answer_next(vec![Answer::Delay(Duration::from_secs(3_600))]);

    let client = send(&receiver, "lost");
    assert!(receiver.wait_for_requests(1, TIMEOUT));
    drop(client);

    assert!(receiver.wait_for_closed(1, TIMEOUT));
    assert_eq!(receiver.line_count(), 0);
}

#[test]
fn requests_one_after_the_other_are_never_concurrent() {
    let receiver = Receiver::start();
    let mut client = Client::connect(receiver.address()).unwrap();

    for n in 0..50 {
        push(&receiver, &[line("a", now(), &n.to_string())]);
        client
            .post("/loki/api/v1/push", &[JSON], &json(&[line("b", now(), "x")]))
            .unwrap();
    }

    assert_eq!((receiver.line_count(), receiver.connections()), (100, 51));
    assert_eq!(receiver.max_concurrent_requests(), 1);
}

#[test]
fn a_connection_may_close_after_an_answer_without_notice() {
    let receiver = Receiver::start();
    receiver.answer_next(vec![Answer::OkThenClose]);
    let mut client = send(&receiver, "kept");

    let answer = client.read_answer().unwrap();

    assert_eq!((answer.status, answer.header("connection")), (204, None));
    assert!(client.is_closed_by_server());
    assert_eq!(kept(&receiver), ["kept"]);
}

#[test]
fn an_endless_body_goes_on_as_long_as_it_is_taken() {
    let receiver = Receiver::start();
    receiver.answer_next(vec![Answer::EndlessBody(200)]);
    let mut client = send(&receiver, "kept");

    let head = client.read_head().unwrap();
    let mut taken = 0;
    while taken < 32 << 20 {
        taken += client.read_some(1 << 20).unwrap().len();
    }
    drop(client);

    assert_eq!(head.header("content-length"), Some("1073741824"));
    assert!(receiver.wait_for_closed(1, TIMEOUT));
    let answered = receiver.bytes_answered();
    // What the buffers of the sockets hold comes on top.
    assert!((30 << 20..200 << 20).contains(&answered), "{answered}");
    assert_eq!(kept(&receiver), ["kept"]);
}

#[test]
fn a_bomb_is_small_and_a_valid_gzip_of_one_gibibyte() {
    let receiver = Receiver::start();
    receiver.answer_next(vec![Answer::GzipBomb(400)]);

    let answer = push(&receiver, &[line("a", now(), "lost")]);

    assert_eq!(
        (answer.status, answer.header("content-encoding")),
        (400, Some("gzip"))
    );
    assert!(answer.body.len() < 2 << 20, "{}", answer.body.len());
    let mut unpacked = flate2::read::GzDecoder::new(&*answer.body);
    let size = std::io::copy(&mut unpacked, &mut std::io::sink()).unwrap();
    assert_eq!(size, 1 << 30);
    assert_eq!(unpacked.read(&mut [0]).unwrap(), 0);
    assert_eq!(receiver.line_count(), 0);
}

#[test]
fn a_push_above_64_mib_is_refused_however_it_is_packed() {
    let receiver = Receiver::start();
    receiver.answer_next(vec![Answer::GzipBomb(400)]);
    let bomb = push(&receiver, &[]).body;
    let mut client = Client::connect(receiver.address()).unwrap();

    let packed = client
        .post("/loki/api/v1/push", &[JSON, ("Content-Encoding", "gzip")], &bomb)
        .unwrap();
    client
        .send(b"POST /loki/api/v1/push HTTP/1.1\r\nContent-Length: 67108865\r\n\r\n")
        .unwrap();
    let announced = client.read_answer().unwrap();

    assert_eq!((packed.status, announced.status), (413, 413));
    assert!(client.is_closed_by_server());
}

#[test]
fn a_body_may_drip_for_ever() {
    let receiver = Receiver::start();
    receiver.answer_next(vec![Answer::Drip(500)]);
    let mut client = send(&receiver, "lost");

    let head = client.read_head().unwrap();
    let mut chunks = Vec::new();
    while chunks.len() < 18 {
        chunks.extend(client.read_some(6).unwrap());
    }
    drop(client);

    assert_eq!(head.status, 500);
    assert!(chunks.starts_with(b"1\r\nx\r\n1\r\nx\r\n1\r\nx\r\n"));
    assert!(receiver.wait_for_closed(1, TIMEOUT));
}

#[test]
fn a_body_may_stop_in_the_middle() {
    let receiver = Receiver::start();
    receiver.answer_next(vec![Answer::StuckBody(200)]);
    let mut client = send(&receiver, "kept");

    let head = client.read_head().unwrap();
    let started = client.read_some(99).unwrap();
    drop(client);

    assert_eq!((head.status, started.as_slice()), (200, b"started".as_slice()));
    assert!(receiver.wait_for_closed(1, TIMEOUT));
    assert_eq!(kept(&receiver), ["kept"]);
}
