//! SIGTERM while requests come in, with the destinations up, away, and standing still.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gatewayz_testkit::http::Client;
use gatewayz_testkit::loki;
use gatewayz_testkit::otlp;
use gatewayz_testkit::process::{Output, Signal};

use super::spawn;
use crate::harness::DEADLINE;

const CONNECTIONS: usize = 4;
/// Requests that must be answered before the stop, so that it comes in the middle.
const UNDER_WAY: usize = 1_000;

/// What was told on stderr about one exporter at the end.
#[derive(Debug, Default, PartialEq)]
struct Told {
    delivered: usize,
    created: usize,
    lost: usize,
}

struct Ended {
    answered: usize,
    lines: usize,
    loki: Told,
    otlp: Told,
    took: Duration,
}

/// Stops the service in the middle of traffic.
#[track_caller]
fn stop_under_load(loki: &loki::Receiver, otlp: &otlp::Receiver) -> Ended {
    let (push_url, endpoint) = (loki.push_url(), otlp.grpc_endpoint());
    let mut api = spawn(
        Output::Read,
        &[
            ("LOKI_ENABLED", "true"),
            ("LOKI_PUSH_URL", &push_url),
            ("TEMPO_OTLP_GRPC_ENDPOINT", &endpoint),
            ("SHUTDOWN_PRESTOP", "0.2"),
            ("SHUTDOWN_DRAIN", "5"),
            ("SHUTDOWN_FLUSH", "2"),
        ],
    );
    let answered = AtomicUsize::new(0);
    let address = api.address;
    let started = thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                // New connections until nobody takes them any more.
                while let Ok(mut client) = Client::connect(address) {
                    while let Ok(answer) = client.get("/api/users/1", &[]) {
                        assert_eq!(answer.status, 200);
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        while answered.load(Ordering::Relaxed) < UNDER_WAY {
            thread::yield_now();
        }
        api.service.signal(Signal::TERM).unwrap();
        Instant::now()
    });
    let exit = api.service.wait_exit(DEADLINE).unwrap();
    assert_eq!(exit.code(), Some(0), "{:?}", api.service.stderr());
    let lines = api.lines();
    let told = |exporter: &str| {
        let prefix = format!("{exporter}: ");
        let stderr = api.service.stderr();
        let line = stderr
            .iter()
            .find_map(|line| line.strip_prefix(&prefix).map(str::to_owned));
        line.map_or_else(Told::default, |line| read(&line))
    };
    Ended {
        answered: answered.into_inner(),
        lines: lines
            .iter()
            .filter(|line| line["target"] == "gatewayz::request")
            .count(),
        loki: told("loki"),
        otlp: told("otlp"),
        took: started.elapsed(),
    }
}

/// `12 of 15 records delivered; lost: 2 shutdown 1 queue_full`.
fn read(line: &str) -> Told {
    let numbers: Vec<usize> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    Told {
        delivered: numbers[0],
        created: numbers[1],
        lost: numbers[2..].iter().sum(),
    }
}

#[test]
fn every_answered_request_is_in_all_three_signals() {
    let (loki, otlp) = (loki::Receiver::start(), otlp::Receiver::start());

    let ended = stop_under_load(&loki, &otlp);

    // A client may be gone before it has read the answer that the service has sent.
    let of_requests = |count: usize| (ended.answered..=ended.answered + CONNECTIONS).contains(&count);
    assert!(
        of_requests(ended.lines),
        "{} lines, {} answers",
        ended.lines,
        ended.answered
    );
    let pushed = loki.unique_lines();
    let pushed = pushed
        .iter()
        .filter(|line| line.text.contains("\"gatewayz::request\""))
        .count();
    assert_eq!((pushed, otlp.unique_span_count()), (ended.lines, ended.lines));
    assert_eq!((ended.loki, ended.otlp), (Told::default(), Told::default()));
}

#[test]
fn destinations_that_stand_still_cost_the_deadline_and_are_told_to_the_last_record() {
    let (loki, otlp) = (loki::Receiver::start(), otlp::Receiver::start());
    loki.answer_always(loki::Answer::Hang);
    otlp.answer_always(otlp::Answer::Hang);

    let ended = stop_under_load(&loki, &otlp);

    assert!(ended.took < Duration::from_secs(8), "{:?}", ended.took);
    assert!(ended.lines >= ended.answered);
    assert_eq!(
        (ended.otlp.delivered, ended.otlp.created, ended.otlp.lost),
        (0, ended.lines, ended.lines)
    );
    assert_eq!(ended.loki.delivered, 0);
    assert!(
        ended.loki.lost >= ended.lines && ended.loki.created >= ended.loki.lost,
        "{:?}",
        ended.loki
    );
}

#[test]
fn destinations_that_are_gone_cost_no_more_than_the_deadline() {
    let (loki, otlp) = (loki::Receiver::start(), otlp::Receiver::start());
    loki.answer_always(loki::Answer::Reset);
    otlp.answer_always(otlp::Answer::Reset);

    let ended = stop_under_load(&loki, &otlp);

    assert!(ended.took < Duration::from_secs(8), "{:?}", ended.took);
    assert_eq!((ended.otlp.delivered, ended.otlp.lost), (0, ended.lines));
    assert!(ended.lines >= ended.answered);
}
