//! Loki hangs, refuses, resets, is slow, is away, or answers what nobody expects.

use std::time::Duration;

use gatewayz_testkit::loki::{Answer, Limits, Receiver, RetryAfter};
use gatewayz_testkit::process::Output;
use gatewayz_testkit::proxy::{Fault, Proxy};

use super::books::{Books, lost};
use super::load::counted_requests;
use super::{assert_memory_bounded, spawn};
use crate::harness::{Api, DEADLINE, wait_for};

const QUEUE_BYTES: u64 = 10 << 20;

/// The service pushing through a proxy, impatiently, so that an outage is short.
struct Pushing {
    loki: Receiver,
    proxy: Proxy,
    api: Api,
}

impl Pushing {
    #[track_caller]
    fn start(loki: Receiver, environment: &[(&str, &str)]) -> Self {
        let proxy = Proxy::start(loki.address());
        let push_url = format!("http://{}", proxy.address());
        let defaults = [
            ("LOKI_ENABLED", "true"),
            ("LOKI_PUSH_URL", push_url.as_str()),
            ("LOKI_BATCH_WAIT", "0.05"),
            ("LOKI_TIMEOUT", "0.5"),
            ("LOKI_BACKOFF_MIN", "0.05"),
            ("LOKI_BACKOFF_MAX", "0.2"),
        ];
        let environment: Vec<_> = defaults.iter().chain(environment).copied().collect();
        let api = spawn(Output::Read, &environment);
        Self { loki, proxy, api }
    }

    #[track_caller]
    fn settled(&self) -> Books {
        Books::settled(|| Books::of_lines(&self.api, "loki"))
    }

    #[track_caller]
    fn wait_for_status(&self, status: &str) {
        let health = || {
            let text = self.api.get("/api/instrumentation/health").text();
            let health: serde_json::Value = serde_json::from_str(&text).unwrap();
            health["loki"]["status"].as_str().unwrap_or_default().to_owned()
        };
        let reached = wait_for(DEADLINE, || (health() == status).then_some(()));
        assert_eq!(reached, Some(()), "loki is {:?}", health());
    }
}

/// A fault that passes costs nothing: neither a request, nor memory beyond the bound, nor a line.
#[track_caller]
fn check_outage(begin: impl Fn(&Pushing), end: impl Fn(&Pushing)) -> Pushing {
    let pushing = Pushing::start(Receiver::start(), &[]);
    let api = &pushing.api;
    counted_requests(api, 100, "/api/users/1", 200);
    pushing.settled();
    let memory = api.service.memory_bytes().unwrap();

    begin(&pushing);
    counted_requests(api, 2_000, "/api/users/1", 200);
    pushing.wait_for_status("degraded");
    assert_memory_bounded(&api.service, memory, QUEUE_BYTES);
    end(&pushing);

    let books = pushing.settled();
    assert_eq!(pushing.loki.unique_count() as f64, books.delivered, "{books:?}");
    let own = lost(api, "loki", "enqueue_failed", "self_notice");
    assert_eq!(books.discarded(), own, "{books:?}");
    assert_eq!(pushing.loki.max_concurrent_requests(), 1);
    pushing.wait_for_status("healthy");
    pushing
}

#[test]
fn a_loki_that_never_answers_costs_nothing() {
    check_outage(
        |pushing| pushing.loki.answer_always(Answer::Hang),
        |pushing| pushing.loki.answer_normally(),
    );
}

#[test]
fn a_network_that_swallows_everything_costs_nothing() {
    check_outage(
        |pushing| pushing.proxy.set(Fault::Hang),
        |pushing| pushing.proxy.set(Fault::Pass),
    );
}

#[test]
fn a_loki_that_is_not_there_costs_nothing() {
    check_outage(
        |pushing| pushing.proxy.set(Fault::Refuse),
        |pushing| pushing.proxy.set(Fault::Pass),
    );
}

#[test]
fn connections_that_are_reset_cost_nothing() {
    check_outage(
        |pushing| pushing.proxy.set(Fault::Reset),
        |pushing| pushing.proxy.set(Fault::Pass),
    );
}

#[test]
fn a_reset_after_the_whole_push_costs_nothing() {
    check_outage(
        |pushing| pushing.loki.answer_always(Answer::Reset),
        |pushing| pushing.loki.answer_normally(),
    );
}

#[test]
fn every_temporary_refusal_costs_nothing() {
    for status in [408, 429, 500, 503] {
        check_outage(
            |pushing| pushing.loki.answer_always(Answer::Status(status)),
            |pushing| pushing.loki.answer_normally(),
        );
    }
}

#[test]
fn a_success_that_is_not_heard_of_is_repeated_with_the_same_bytes() {
    let pushing = check_outage(
        |pushing| pushing.loki.answer_always(Answer::StoreThenCut),
        |pushing| pushing.loki.answer_normally(),
    );

    assert!(pushing.loki.duplicate_count() > 0);
}

#[test]
fn a_slow_loki_delays_only_itself() {
    let pushing = Pushing::start(Receiver::start(), &[]);
    pushing
        .loki
        .answer_always(Answer::Delay(Duration::from_millis(200)));

    counted_requests(&pushing.api, 2_000, "/api/users/1", 200);

    let books = pushing.settled();
    assert_eq!(
        (books.discarded(), books.delivered),
        (0.0, pushing.loki.unique_count() as f64)
    );
}

#[test]
fn a_wait_that_loki_asks_for_is_kept() {
    let pushing = Pushing::start(Receiver::start(), &[]);
    pushing
        .loki
        .answer_next(vec![Answer::StatusWithRetry(429, RetryAfter::Seconds(2))]);

    counted_requests(&pushing.api, 10, "/api/users/1", 200);
    let books = pushing.settled();

    // The lines of the start may have been pushed before.
    let requests = pushing.loki.requests();
    let refused = requests
        .iter()
        .position(|request| request.status == Some(429))
        .unwrap();
    let waited = requests[refused + 1].received_at - requests[refused].received_at;
    assert!(waited >= Duration::from_secs(2), "{waited:?}");
    assert_eq!(books.send_failed, 0.0);
}

#[track_caller]
fn check_refusal(status: u16, reason: &str, health: &str) {
    let pushing = Pushing::start(Receiver::start(), &[]);
    let api = &pushing.api;
    counted_requests(api, 20, "/api/users/1", 200);
    pushing.settled();
    let pushes = pushing.loki.request_count();
    let echo = b"entry for stream '{service=\"x\"}' rejected".to_vec();
    pushing
        .loki
        .answer_next(vec![Answer::StatusWithBody(status, echo)]);

    counted_requests(api, 1, "/api/users/1", 200);
    pushing.wait_for_status(health);
    counted_requests(api, 20, "/api/users/1", 200);

    let books = pushing.settled();
    assert_eq!(
        lost(api, "loki", "send_failed", reason),
        books.send_failed,
        "{status}: {books:?}"
    );
    assert!(
        books.send_failed >= 1.0 && books.delivered >= 40.0,
        "{status}: {books:?}"
    );
    assert_eq!(pushing.loki.unique_count() as f64, books.delivered, "{status}");
    let answered: Vec<u16> = pushing.loki.requests()[pushes..]
        .iter()
        .filter_map(|push| push.status)
        .collect();
    assert_eq!(
        answered.iter().filter(|answer| **answer == status).count(),
        1,
        "{answered:?}"
    );
}

#[test]
fn a_final_refusal_is_sent_once_counted_and_holds_up_nothing() {
    for status in [400, 404, 422, 501] {
        check_refusal(status, "rejected", "degraded");
    }
}

#[test]
fn a_refusal_of_our_credentials_is_told_as_such() {
    for status in [401, 403] {
        check_refusal(status, "unauthorized", "degraded: auth");
    }
}

#[track_caller]
fn check_split(limits: Limits) {
    let pushing = Pushing::start(
        Receiver::with_limits(limits),
        &[("LOKI_BATCH_BYTES", "1MiB"), ("LOKI_BATCH_WAIT", "30")],
    );

    // About 1.6 MB of lines: more than one batch.
    counted_requests(&pushing.api, 4_000, "/api/users/1", 200);

    let largest_wait = || (Books::of_lines(&pushing.api, "loki").delivered > 0.0).then_some(());
    assert_eq!(wait_for(DEADLINE, largest_wait), Some(()));
    assert!(
        pushing
            .loki
            .requests()
            .iter()
            .any(|push| push.status != Some(204)),
        "nothing was too large"
    );
    let mut api = pushing.api;
    api.service
        .signal(gatewayz_testkit::process::Signal::TERM)
        .unwrap();
    assert_eq!(api.service.wait_exit(DEADLINE).unwrap().code(), Some(0));
    let lines = pushing.loki.unique_lines();
    let of_requests = lines
        .iter()
        .filter(|line| line.text.contains("\"/api/users/1\""))
        .count();
    assert_eq!(of_requests, 4_000);
    assert!(
        !api.service.stderr().iter().any(|line| line.starts_with("loki:")),
        "{:?}",
        api.service.stderr()
    );
}

#[test]
fn a_push_above_the_limit_of_a_body_is_cut_until_it_fits() {
    check_split(Limits {
        max_body_bytes: 16 << 10,
        ..Limits::default()
    });
}

#[test]
fn a_push_that_is_too_large_for_ever_without_saying_so_is_cut_until_it_fits() {
    check_split(Limits {
        max_decoded_bytes: 300 << 10,
        ..Limits::default()
    });
}

#[test]
fn an_outage_longer_than_the_queue_costs_ordinary_lines_first_and_counts_each() {
    let pushing = Pushing::start(
        Receiver::start(),
        &[("LOKI_QUEUE_BYTES", "512KiB"), ("LOKI_BATCH_BYTES", "64KiB")],
    );
    let api = &pushing.api;
    counted_requests(api, 100, "/api/users/1", 200);
    pushing.settled();
    let memory = api.service.memory_bytes().unwrap();

    pushing.proxy.set(Fault::Refuse);
    counted_requests(api, 3_000, "/api/users/1", 200);
    counted_requests(api, 50, "/nowhere", 404);
    assert_memory_bounded(&api.service, memory, 512 << 10);
    pushing.proxy.set(Fault::Pass);

    let books = pushing.settled();
    let shed = lost(api, "loki", "enqueue_failed", "shed");
    let own = lost(api, "loki", "enqueue_failed", "self_notice");
    assert!(shed > 0.0);
    assert_eq!(books.discarded(), shed + own, "{books:?}");
    assert_eq!(pushing.loki.unique_count() as f64, books.delivered);
    let lines = pushing.loki.unique_lines();
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.text.contains("\"/nowhere\""))
            .count(),
        50
    );
}

/// Whatever is in the body of an answer, its status decides and the process stays small.
#[track_caller]
fn check_hostile(answer: impl Fn(u16) -> Answer) {
    let pushing = Pushing::start(Receiver::start(), &[("LOKI_TIMEOUT", "5")]);
    let api = &pushing.api;
    counted_requests(api, 100, "/api/users/1", 200);
    pushing.settled();
    let memory = api.service.memory_bytes().unwrap();

    pushing
        .loki
        .answer_next(vec![answer(200), answer(400), answer(503)]);
    for _ in 0..3 {
        let pushes = pushing.loki.request_count();
        counted_requests(api, 10, "/api/users/1", 200);
        assert!(pushing.loki.wait_for_requests(pushes + 1, DEADLINE));
        assert_memory_bounded(&api.service, memory, 0);
    }

    let books = pushing.settled();
    assert_eq!(
        lost(api, "loki", "send_failed", "rejected"),
        books.send_failed,
        "{books:?}"
    );
    assert!(books.send_failed > 0.0, "{books:?}");
    assert_memory_bounded(&api.service, memory, 0);
}

#[test]
fn an_endless_answer_is_cut() {
    check_hostile(Answer::EndlessBody);
}

#[test]
fn an_answer_that_would_unpack_to_a_gigabyte_is_not_unpacked() {
    check_hostile(Answer::GzipBomb);
}

#[test]
fn an_answer_that_drips_for_ever_is_left() {
    check_hostile(Answer::Drip);
}

#[test]
fn a_redirect_takes_neither_lines_nor_credentials_elsewhere() {
    let elsewhere = Receiver::start();
    let pushing = Pushing::start(
        Receiver::start(),
        &[("LOKI_USERNAME", "tenant"), ("LOKI_PASSWORD", "s3cret-password")],
    );
    pushing
        .loki
        .answer_next(vec![Answer::Redirect(elsewhere.push_url())]);

    counted_requests(&pushing.api, 10, "/api/users/1", 200);
    let books = pushing.settled();

    assert!(books.send_failed >= 1.0, "{books:?}");
    assert_eq!(elsewhere.connections(), 0);
    let said = [pushing.api.service.stdout(), pushing.api.service.stderr()].concat();
    assert!(!said.iter().any(|line| line.contains("s3cret-password")));
}
