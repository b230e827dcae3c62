//! What a push may look like, and what the receiver tells about it.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use gatewayz_testkit::loki::{Answer, Line, Receiver};

use crate::{JSON, PROTOBUF, TIMEOUT, entry, json, kept, line, now, pairs, post, protobuf, push, snappy};

#[test]
fn a_line_is_kept_with_labels_time_text_and_metadata_in_either_form() {
    let receiver = Receiver::start();
    let sent = Line {
        metadata: pairs(&[("trace_id", "4bf9")]),
        ..line("a", now(), "{\"message\":\"hello\"}")
    };

    let from_json = push(&receiver, std::slice::from_ref(&sent));
    let from_protobuf = post(&receiver, &[PROTOBUF], &protobuf(std::slice::from_ref(&sent)));

    assert_eq!((from_json.status, from_protobuf.status), (204, 204));
    let lines = receiver.lines();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| **line == sent), "{lines:?}");
    assert_eq!(lines[0].metadata("trace_id"), Some("4bf9"));
    assert_eq!(lines[0].label("app"), Some("a"));
}

#[test]
fn json_may_be_packed_by_gzip_or_deflate() {
    let receiver = Receiver::start();
    let body = json(&[line("a", now(), "packed")]);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&body).unwrap();
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::fast());
    deflate.write_all(&body).unwrap();

    let gzip = post(
        &receiver,
        &[JSON, ("Content-Encoding", "gzip")],
        &gzip.finish().unwrap(),
    );
    let deflate = post(
        &receiver,
        &[JSON, ("Content-Encoding", "deflate")],
        &deflate.finish().unwrap(),
    );

    assert_eq!((gzip.status, deflate.status), (204, 204));
    assert_eq!(kept(&receiver), ["packed", "packed"]);
}

#[test]
fn escapes_in_protobuf_labels_are_read_as_a_query_reads_them() {
    let receiver = Receiver::start();
    let entries = vec![entry(&line("", now(), "x"))];

    let answer = post(
        &receiver,
        &[PROTOBUF],
        &snappy(vec![(
            r#"{app="a\"b\\c\n\u00fc}, d=", empty="", level="INFO"}"#,
            entries,
        )]),
    );

    assert_eq!(answer.status, 204);
    let labels = &receiver.lines()[0].labels;
    assert_eq!(*labels, pairs(&[("app", "a\"b\\c\nü}, d="), ("level", "INFO")]));
}

#[test]
fn bytes_that_are_not_utf8_are_replaced_in_a_line() {
    let receiver = Receiver::start();
    let mut bad = entry(&line("a", now(), ""));
    bad.line = b"\xffx\0".to_vec();
    let mut text = json(&[line("a", now(), "?y")]);
    let place = text.iter().position(|byte| *byte == b'?').unwrap();
    text[place] = 0xff;

    post(&receiver, &[PROTOBUF], &snappy(vec![(r#"{app="a"}"#, vec![bad])]));
    post(&receiver, &[JSON], &text);

    assert_eq!(kept(&receiver), ["\u{fffd}x\0", "\u{fffd}y"]);
}

#[test]
fn a_stream_without_labels_is_that_of_an_unknown_service() {
    let receiver = Receiver::start();

    let answer = post(
        &receiver,
        &[PROTOBUF],
        &snappy(vec![("{}", vec![entry(&line("", now(), "x"))])]),
    );

    assert_eq!(answer.status, 204);
    assert_eq!(receiver.lines()[0].label("service_name"), Some("unknown_service"));
}

#[test]
fn a_repeat_is_one_line_and_other_metadata_make_two() {
    let receiver = Receiver::start();
    let first = line("a", now(), "same");
    let second = Line {
        metadata: pairs(&[("k", "v")]),
        ..first.clone()
    };

    push(&receiver, &[first.clone(), second.clone(), first.clone()]);
    push(&receiver, std::slice::from_ref(&second));

    assert_eq!((receiver.line_count(), receiver.unique_count()), (4, 2));
    assert_eq!(receiver.duplicate_count(), 2);
    let unique: Vec<Line> = receiver
        .unique_lines()
        .iter()
        .map(|line| (**line).clone())
        .collect();
    assert_eq!(unique, [first, second]);
}

#[test]
fn every_request_is_in_the_log_whatever_it_was_answered() {
    let receiver = Receiver::start();
    receiver.answer_next(vec![Answer::Status(503)]);
    let body = json(&[line("a", now(), "one")]);

    post(&receiver, &[JSON, ("Authorization", "Bearer s3cret")], &body);
    push(&receiver, &[line("a", now(), "two"), line("a", now(), "three")]);

    let requests = receiver.requests();
    let [refused, taken] = requests.as_slice() else {
        panic!("{requests:?}")
    };
    assert_eq!((refused.status, taken.status), (Some(503), Some(204)));
    assert_eq!(refused.header("authorization"), Some("Bearer s3cret"));
    assert_eq!(refused.body, body);
    assert_eq!(refused.decoded_bytes, body.len());
    assert_eq!(
        (refused.lines[0].text.as_str(), refused.kept.clone()),
        ("one", 0..0)
    );
    assert_eq!(taken.kept, 0..2);
    assert!(taken.received_at > refused.received_at);
    assert_eq!(receiver.bytes_received(), (body.len() + taken.body.len()) as u64);
}

#[test]
fn counting_sees_as_many_lines_as_decoding_and_keeps_none() {
    let receiver = Receiver::counting();
    let lines: Vec<Line> = (0..200).map(|n| line("a", n, "far too old to keep")).collect();

    post(&receiver, &[PROTOBUF], &protobuf(&lines));
    push(&receiver, &lines[..5]);
    let broken = post(&receiver, &[PROTOBUF], b"oops");

    assert_eq!((receiver.line_count(), receiver.request_count()), (205, 3));
    assert_eq!(broken.status, 400);
    assert!(receiver.lines().is_empty() && receiver.requests().is_empty());
}

#[test]
fn waiting_in_vain_says_how_many_came() {
    let receiver = Receiver::start();
    push(&receiver, &[line("a", now(), "one")]);

    let error = receiver.wait_for(2, Duration::from_millis(1)).unwrap_err();

    assert_eq!((error.expected, error.received), (2, 1));
    assert_eq!(receiver.wait_for(1, TIMEOUT), Ok(()));
    assert!(!receiver.wait_for_requests(2, Duration::from_millis(1)));
}

#[test]
fn a_receiver_can_come_back_on_its_port() {
    let first = Receiver::start();
    let address = first.address();
    drop(first);

    let second = Receiver::start_on(address.port());

    assert_eq!(second.push_url(), format!("http://{address}/loki/api/v1/push"));
    assert_eq!(push(&second, &[line("a", now(), "one")]).status, 204);
}

#[test]
fn only_a_post_to_the_push_path_is_a_push() {
    let receiver = Receiver::start();
    let mut client = gatewayz_testkit::http::Client::connect(receiver.address()).unwrap();

    let elsewhere = client.post("/api/prom/push", &[JSON], b"{}").unwrap();
    let got = client.get("/loki/api/v1/push", &[]).unwrap();

    assert_eq!((elsewhere.status, got.status), (404, 405));
    assert_eq!(receiver.request_count(), 0);
}

#[test]
fn a_chunked_body_is_joined() {
    let receiver = Receiver::start();
    let mut client = gatewayz_testkit::http::Client::connect(receiver.address()).unwrap();
    let body = json(&[line("a", now(), "in two chunks")]);
    let (first, second) = body.split_at(body.len() / 2);
    let head = "POST /loki/api/v1/push HTTP/1.1\r\nContent-Type: application/json; charset=utf-8\r\n\
                Transfer-Encoding: chunked\r\n\r\n";

    client.send(head.as_bytes()).unwrap();
    for part in [first, second] {
        let length = format!("{:x}\r\n", part.len());
        client.send(&[length.as_bytes(), part, b"\r\n"].concat()).unwrap();
    }
    client.send(b"0\r\n\r\n").unwrap();

    assert_eq!(client.read_answer().unwrap().status, 204);
    assert_eq!(kept(&receiver), ["in two chunks"]);
}
