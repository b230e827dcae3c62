//! The reader of stdout stops, leaves, or has no room.

use std::fs::File;
use std::time::{Duration, Instant};

use gatewayz_testkit::process::{Output, Signal};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;

use super::books::{Books, lost};
use super::load::{counted_requests, requests};
use super::{assert_memory_bounded, spawn};
use crate::harness::{Api, DEADLINE, PUBLISHED_KEY, wait_for};

const BUFFER: &str = "1MiB";
const BUFFER_BYTES: u64 = 1 << 20;

#[track_caller]
fn books(api: &Api) -> Books {
    Books::of_lines(api, "stdout")
}

#[test]
fn a_reader_that_stops_fails_no_request_and_every_line_is_read_or_counted() {
    let api = spawn(Output::Held, &[("LOG_STDOUT_BUFFER_BYTES", BUFFER)]);
    counted_requests(&api, 100, "/api/users/1", 200);
    let memory = api.service.memory_bytes().unwrap();

    counted_requests(&api, 5_000, "/api/users/1", 200);

    assert_memory_bounded(&api.service, memory, BUFFER_BYTES);
    let blocked = books(&api);
    assert!(blocked.balance() && blocked.enqueue_failed > 0.0, "{blocked:?}");
    let health = api.get("/api/instrumentation/health");
    assert_eq!(health.status, 200);

    api.service.read_stdout();
    let settled = Books::settled(|| books(&api));
    let read = || (api.lines().len() as f64 == settled.delivered).then_some(());
    assert_eq!(
        wait_for(DEADLINE, read),
        Some(()),
        "{} lines, {settled:?}",
        api.lines().len()
    );
    assert_eq!(settled.created, settled.delivered + settled.discarded());
    let told = api.wait_for_line(|line| line["target"] == "gatewayz::delivery");
    assert_eq!(
        (&told["exporter"], &told["level"]),
        (&"stdout".into(), &"WARN".into()),
        "{told}"
    );
    assert_eq!(told["lost"].as_f64(), Some(settled.enqueue_failed), "{told}");
}

#[test]
fn warnings_are_kept_while_a_stopped_reader_costs_ordinary_lines() {
    let api = spawn(Output::Held, &[("LOG_STDOUT_BUFFER_BYTES", BUFFER)]);
    counted_requests(&api, 4_000, "/api/users/1", 200);

    counted_requests(&api, 50, "/nowhere", 404);

    assert!(lost(&api, "stdout", "enqueue_failed", "shed") > 0.0);
    assert_eq!(lost(&api, "stdout", "enqueue_failed", "queue_full"), 0.0);
    api.service.read_stdout();
    Books::settled(|| books(&api));
    let warnings = || {
        api.lines()
            .iter()
            .filter(|line| line["endpoint"] == "/nowhere")
            .count()
    };
    assert_eq!(
        wait_for(DEADLINE, || (warnings() == 50).then_some(())),
        Some(()),
        "{} of 50",
        warnings()
    );
}

#[track_caller]
fn check_audit_is_kept(format: &str) {
    let environment = [
        ("LOG_FORMAT", format),
        ("LOG_STDOUT_BUFFER_BYTES", BUFFER),
        ("ADMIN_API_KEY", PUBLISHED_KEY),
    ];
    let api = spawn(Output::Held, &environment);
    counted_requests(&api, 4_000, "/api/users/1", 200);

    let body = br#"{"levels":"info,gatewayz_api=debug"}"#;
    let answer = api.admin("PUT", "/api/instrumentation/log-level", body);

    assert_eq!(answer.status, 200);
    assert!(lost(&api, "stdout", "enqueue_failed", "shed") > 0.0);
    api.service.read_stdout();
    let line = api.wait_for_line(|line| line["event"] == "log_levels_changed");
    assert_eq!(line["target"], "gatewayz::audit", "{line}");
    let settled = Books::settled(|| books(&api));
    let read = || (api.lines().len() as f64 >= settled.delivered).then_some(());
    assert_eq!(wait_for(DEADLINE, read), Some(()), "{settled:?}");
    // Its own request's line is an ordinary one.
    let own = |line: &Value| line["target"] == "gatewayz::request" && line["method"] == "PUT";
    assert!(!api.lines().iter().any(own));
}

#[test]
fn an_audit_line_is_kept_where_ordinary_lines_of_its_level_are_not() {
    check_audit_is_kept("json");
}

#[test]
fn an_audit_line_is_kept_in_the_bunyan_format_too() {
    check_audit_is_kept("bunyan");
}

#[test]
fn a_stop_while_the_reader_stands_still_ends_at_the_deadline_and_tells_what_is_lost() {
    let mut api = spawn(
        Output::Held,
        &[("SHUTDOWN_PRESTOP", "0"), ("SHUTDOWN_FLUSH", "1")],
    );
    counted_requests(&api, 2_000, "/api/users/1", 200);
    let before = books(&api);

    let started = Instant::now();
    api.service.signal(Signal::TERM).unwrap();
    let told = api
        .service
        .wait_for_stderr(DEADLINE, |line| line.starts_with("stdout: "))
        .unwrap();
    let exit = api.service.wait_exit(DEADLINE).unwrap();

    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(exit.code(), Some(0));
    let figures: Vec<f64> = told.split(' ').filter_map(|word| word.parse().ok()).collect();
    let (delivered, created, lost) = (figures[0], figures[1], figures[2..].iter().sum::<f64>());
    assert!(
        told.contains("shutdown") && created >= before.created,
        "{told}; {before:?}"
    );
    assert_eq!(created, delivered + lost, "{told}");
}

#[track_caller]
fn check_lost_to_the_last_line(api: &Api) {
    requests(api, 1_000, "/api/users/1", 200);

    let settled = Books::settled(|| books(api));

    assert!(settled.created >= 1_000.0, "{settled:?}");
    assert_eq!(
        settled.send_failed,
        settled.created - settled.delivered,
        "{settled:?}"
    );
    let notices = || {
        api.service
            .stderr()
            .iter()
            .filter(|line| line.contains("cannot be written"))
            .count()
    };
    assert_eq!(wait_for(DEADLINE, || (notices() > 0).then_some(())), Some(()));
    // One in ten seconds: a slow machine may see a second.
    assert!(notices() <= 2, "{:?}", api.service.stderr());
}

#[test]
fn a_reader_that_leaves_costs_the_lines_and_no_request() {
    let api = spawn(Output::Held, &[]);
    api.service.close_stdout();

    check_lost_to_the_last_line(&api);
}

#[test]
fn a_full_disk_costs_the_lines_and_no_request() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let api = spawn(Output::File(full), &[]);

    check_lost_to_the_last_line(&api);
}

#[test]
fn a_file_at_its_limit_costs_the_lines_and_no_request() {
    let api = spawn(Output::File(tempfile::tempfile().unwrap()), &[]);
    let limit = Rlimit {
        current: Some(1),
        maximum: None,
    };
    let process = Pid::from_raw(api.service.id().cast_signed());
    prlimit(process, Resource::Fsize, limit).unwrap();

    check_lost_to_the_last_line(&api);
}
