//! Services as processes, with the shell standing in for one.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use gatewayz_testkit::process::{ProcessError, Service, Signal};

const TIMEOUT: Duration = Duration::from_secs(10);

fn shell(script: &str, environment: &[(&str, &str)]) -> Service {
    Service::start(Path::new("/bin/sh"), &["-c", script], environment, Path::new("/")).unwrap()
}

#[test]
fn the_bound_address_is_read_from_stderr() {
    let service = shell(
        "echo starting >&2; echo 'Listening on http://127.0.0.1:4321/' >&2; read never",
        &[],
    );

    let address = service.wait_for_address(TIMEOUT).unwrap();

    assert_eq!(address, "127.0.0.1:4321".parse().unwrap());
}

#[test]
fn the_environment_is_only_what_the_test_gives() {
    let mut service = shell("echo \"$GIVEN/$CARGO_PKG_NAME/$HOME\"", &[("GIVEN", "given")]);

    let status = service.wait_exit(TIMEOUT).unwrap();

    assert!(status.success());
    assert_eq!(service.stdout(), ["given//"]);
}

#[test]
fn a_signal_reaches_the_service_and_its_exit_is_reported() {
    let mut service = shell(
        "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done",
        &[],
    );
    service.wait_for_stdout(TIMEOUT, |line| line == "ready").unwrap();

    service.signal(Signal::TERM).unwrap();

    assert_eq!(service.wait_exit(TIMEOUT).unwrap().code(), Some(3));
}

#[test]
fn a_killed_service_reports_its_signal() {
    let mut service = shell("echo ready; exec sleep 60", &[]);
    service.wait_for_stdout(TIMEOUT, |line| line == "ready").unwrap();

    service.signal(Signal::KILL).unwrap();

    assert_eq!(service.wait_exit(TIMEOUT).unwrap().signal(), Some(9));
}

#[test]
fn a_late_fact_shows_what_the_service_said() {
    let service = shell("echo 'cannot bind' >&2; exec sleep 60", &[]);
    service
        .wait_for_stderr(TIMEOUT, |line| line.contains("bind"))
        .unwrap();

    let error = service.wait_for_address(Duration::from_millis(1)).unwrap_err();

    assert!(matches!(error, ProcessError::Timeout { stderr, .. } if stderr == ["cannot bind"]));
}
