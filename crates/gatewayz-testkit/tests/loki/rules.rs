//! What Loki refuses, and what of a refused push it keeps all the same.

use std::time::Duration;

use gatewayz_testkit::loki::{Limits, Line, Pairs, Rate, Receiver};

use crate::{HOUR, JSON, PROTOBUF, entry, json, kept, line, now, pairs, post, protobuf, push, snappy};

/// A good line and, in streams of their own, `bad` ones: the answer is this, and only the good one is kept.
#[track_caller]
fn check_partial(bad: &[Line], expected: &str) {
    let receiver = Receiver::start();
    let good = line("good", now(), "good");
    let lines: Vec<Line> = [&[good], bad].concat();

    let answer = push(&receiver, &lines);

    assert_eq!(answer.status, 400);
    assert!(answer.text().contains(expected), "{}", answer.text());
    assert_eq!(kept(&receiver), ["good"]);
    assert_eq!(receiver.requests()[0].lines.len(), lines.len());
}

/// Nothing of a request is kept.
#[track_caller]
fn check_whole(headers: &[(&str, &str)], body: &[u8], status: u16, expected: &str) {
    let receiver = Receiver::start();

    let answer = post(&receiver, headers, body);

    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(answer.text().contains(expected), "{}", answer.text());
    assert_eq!(receiver.line_count(), 0);
    assert_eq!(receiver.requests()[0].status, Some(status));
}

#[test]
fn a_body_that_does_not_fit_its_headers_is_lost() {
    let body = json(&[line("a", now(), "x")]);

    check_whole(&[], &body, 400, "mime: no media type");
    check_whole(
        &[("Content-Type", "text/plain")],
        &body,
        400,
        "snappy: corrupt input",
    );
    check_whole(
        &[JSON, ("Content-Encoding", "zstd")],
        &body,
        400,
        "Content-Encoding \"zstd\" not supported",
    );
    check_whole(
        &[JSON, ("Content-Encoding", "gzip")],
        &body,
        400,
        "gzip: invalid header",
    );
    check_whole(&[PROTOBUF], &body, 400, "snappy: corrupt input");
}

#[test]
fn a_mistake_of_form_loses_the_good_lines_too() {
    let time = now();
    let with = |value: &str| {
        let good = format!(r#"{{"stream":{{"app":"good"}},"values":[["{time}","good"]]}}"#);
        format!(r#"{{"streams":[{good},{{"stream":{{"app":"bad"}},"values":[{value}]}}]}}"#)
    };

    for value in [
        format!(r#"[{time},"a time that is a number"]"#),
        r#"["soon","a time that is none"]"#.to_owned(),
        format!(r#"["{time}",{{"text":"an object"}}]"#),
        format!(r#"["{time}","a number as metadata",{{"k":5}}]"#),
        format!(r#"["{time}","an object as metadata",{{"k":{{}}}}]"#),
        format!(r#"["{time}","lone surrogate \ud800"]"#),
        format!(r#"["{time}"]"#),
    ] {
        check_whole(
            &[JSON],
            with(&value).as_bytes(),
            400,
            "loghttp.PushRequest.Streams",
        );
    }
    check_whole(&[JSON], b"", 400, "EOF");
    check_whole(&[JSON], b"[]", 400, "readObjectStart");
    check_whole(&[JSON], b"{", 400, "loghttp.PushRequest");
    check_whole(&[JSON], br#"{"streams":[]}"#, 422, "at least one valid stream");
    let nothing = snappy(Vec::new());
    check_whole(&[PROTOBUF], &nothing, 422, "at least one valid stream");
}

#[test]
fn a_name_that_is_none_of_a_label_loses_the_good_lines_too() {
    for name in ["a-b", "a.b", "a b", "1a", "ü", ""] {
        let bad = Line {
            labels: pairs(&[(name, "x")]),
            ..line("", now(), "bad")
        };
        let body = json(&[line("good", now(), "good"), bad]);
        check_whole(&[JSON], &body, 400, "couldn't parse labels");
    }
    for labels in [r#"{a-b="x"}"#, "{a=x}", r#"{a="x"#, r#"{a="\q"}"#, ""] {
        let good = (r#"{app="good"}"#, vec![entry(&line("", now(), "good"))]);
        let bad = (labels, vec![entry(&line("", now(), "bad"))]);
        check_whole(
            &[PROTOBUF],
            &snappy(vec![good, bad]),
            400,
            "couldn't parse labels",
        );
    }
}

#[test]
fn a_label_value_that_is_no_string_is_its_text_and_an_empty_one_is_no_label() {
    let receiver = Receiver::start();
    let time = now();
    let body = format!(
        r#"{{"streams":[{{"stream":{{"app":5,"a":null,"b":""}},"values":[["{time}","x"]]}},{{"stream":{{"c":"d"}},"values":[]}}]}}"#
    );

    let answer = post(&receiver, &[JSON], body.as_bytes());

    assert_eq!(answer.status, 204);
    assert_eq!(receiver.lines()[0].labels, pairs(&[("a", "null"), ("app", "5")]));
}

#[test]
fn a_stream_over_the_limits_of_labels_is_lost_alone() {
    let labels = |count: usize| -> Pairs { (0..count).map(|n| (format!("l{n}"), "x".to_owned())).collect() };
    let with = |labels: Pairs| Line {
        labels,
        ..line("", now(), "x")
    };
    let receiver = Receiver::start();

    let fifteen = push(&receiver, &[with(labels(15))]);

    assert_eq!((fifteen.status, receiver.line_count()), (204, 1));
    check_partial(&[with(labels(16))], "has 16 label names; limit 15");
    check_partial(
        &[with(pairs(&[("a", &"x".repeat(2049))]))],
        "label value too long",
    );
    check_partial(&[with(pairs(&[(&"x".repeat(1025), "a")]))], "label name too long");
}

#[test]
fn a_line_over_its_limits_is_lost_alone() {
    let receiver = Receiver::start();
    let of_length = |length: usize| line("a", now(), &"x".repeat(length));
    let with = |metadata: Pairs| Line {
        metadata,
        ..line("a", now(), "x")
    };
    let metadata = |count: usize| -> Pairs { (0..count).map(|n| (format!("k{n}"), String::new())).collect() };

    let longest = push(&receiver, &[of_length(262_144), with(metadata(128))]);

    assert_eq!((longest.status, receiver.line_count()), (204, 2));
    check_partial(&[of_length(262_145)], "max entry size '262144' bytes exceeded");
    check_partial(
        &[with(metadata(129))],
        "too many structured metadata labels: '129', limit: '128'",
    );
    check_partial(
        &[with(pairs(&[("k", &"x".repeat(70_000))]))],
        "structured metadata too large: '70001' bytes",
    );
}

#[test]
fn a_line_of_another_time_is_lost_alone() {
    let receiver = Receiver::start();
    let minutes = 60 * 1_000_000_000;

    let old = push(&receiver, &[line("a", now() - 6 * 24 * HOUR, "6 days")]);
    let early = push(&receiver, &[line("b", now() + 9 * minutes, "9 minutes")]);

    assert_eq!((old.status, early.status), (204, 204));
    check_partial(&[line("a", now() - 8 * 24 * HOUR, "8 days")], "timestamp too old");
    check_partial(&[line("a", 0, "no time")], "timestamp too old");
    check_partial(
        &[line("a", now() + 11 * minutes, "11 minutes")],
        "timestamp too new",
    );
    check_partial(
        &[line("a", 0, "one"), line("b", 0, "two")],
        "2 errors like: entry for stream",
    );
}

#[test]
fn a_line_an_hour_behind_its_own_stream_is_lost_alone() {
    let receiver = Receiver::start();
    let time = now();
    push(&receiver, &[line("a", time, "newest")]);

    let within = push(&receiver, &[line("a", time - HOUR + 1, "within")]);
    let behind = push(
        &receiver,
        &[
            line("a", time - 2 * HOUR, "behind"),
            line("b", time - 2 * HOUR, "other"),
        ],
    );

    assert_eq!((within.status, behind.status), (204, 400));
    assert!(
        behind.text().contains("entry too far behind"),
        "{}",
        behind.text()
    );
    assert_eq!(kept(&receiver), ["newest", "within", "other"]);
}

#[test]
fn a_push_above_4_mib_is_a_500_every_time() {
    let receiver = Receiver::start();
    let kibibytes = |count: usize| -> Vec<Line> {
        (0..count)
            .map(|n| line("a", now() + n as u64, &"x".repeat(1024)))
            .collect()
    };

    let under = post(&receiver, &[PROTOBUF], &protobuf(&kibibytes(4000)));
    let over = [1, 2].map(|_| post(&receiver, &[PROTOBUF], &protobuf(&kibibytes(4100))).status);

    assert_eq!((under.status, over), (204, [500, 500]));
    assert_eq!(receiver.line_count(), 4000);
    assert!(receiver.requests()[0].decoded_bytes > 4000 * 1024);
}

#[test]
fn a_body_above_its_limit_is_413_as_protobuf_and_400_as_json() {
    let receiver = Receiver::with_limits(Limits {
        max_body_bytes: 64,
        ..Limits::default()
    });
    let long = [line(
        "a",
        now(),
        "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz",
    )];

    let from_protobuf = post(&receiver, &[PROTOBUF], &protobuf(&long));
    let from_json = push(&receiver, &long);
    let small = post(&receiver, &[PROTOBUF], &protobuf(&[line("a", now(), "small")]));

    assert_eq!(
        (from_protobuf.status, from_json.status, small.status),
        (413, 400, 204)
    );
    assert_eq!(kept(&receiver), ["small"]);
}

#[test]
fn a_push_above_the_burst_is_429_for_ever_and_a_smaller_one_fits() {
    let receiver = Receiver::with_limits(Limits {
        rate: Some(Rate {
            bytes_per_second: 0,
            burst_bytes: 10,
        }),
        ..Limits::default()
    });

    let too_much = [1, 2].map(|_| push(&receiver, &[line("a", now(), "elevenbytes")]));
    let fits = push(&receiver, &[line("a", now(), "ten bytes.")]);
    let used_up = push(&receiver, &[line("a", now(), "x")]);

    assert!(too_much.iter().all(|answer| answer.status == 429));
    assert_eq!(too_much[0].header("retry-after"), None);
    assert_eq!((fits.status, used_up.status), (204, 429));
    assert_eq!(kept(&receiver), ["ten bytes."]);
}

#[test]
fn a_rate_refills() {
    let receiver = Receiver::with_limits(Limits {
        rate: Some(Rate {
            bytes_per_second: 1_000_000,
            burst_bytes: 10,
        }),
        ..Limits::default()
    });
    push(&receiver, &[line("a", now(), "ten bytes.")]);

    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while push(&receiver, &[line("a", now(), "ten bytes.")]).status != 204 {
        assert!(std::time::Instant::now() < deadline, "it does not refill");
    }

    assert_eq!(receiver.line_count(), 2);
}
