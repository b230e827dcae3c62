//! Services as processes, with the shell standing in for one.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{Duration, Instant};

use gatewayz_testkit::process::{Output, ProcessError, Service, Signal};

const TIMEOUT: Duration = Duration::from_secs(10);

fn shell(script: &str, environment: &[(&str, &str)]) -> Service {
    Service::start(Path::new("/bin/sh"), &["-c", script], environment, Path::new("/")).unwrap()
}

fn shell_with(script: &str, output: Output) -> Service {
    Service::start_with(Path::new("/bin/sh"), &["-c", script], &[], Path::new("/"), output).unwrap()
}

/// Writes 40 numbered lines of 5,000 bytes, which no page of a pipe holds, and says on stderr how far it is.
const WRITER: &str = "n=0; while [ $n -lt 40 ]; do printf '%04999d\\n' $n; n=$((n + 1)); echo $n >&2; done";

/// Waits until the writer makes no progress any more.
#[track_caller]
fn wait_for_full_pipe(service: &Service) {
    // 64 KiB in pages that need not be full fit into the pipe.
    service.wait_for_stderr(TIMEOUT, |line| line == "8").unwrap();
    let more = service.wait_for_stderr(Duration::from_millis(100), |line| line == "15");
    assert!(more.is_err(), "the writer goes on though nobody reads");
}

/// Lets a service go on that has stopped itself.
fn continue_when_stopped(service: &Service) {
    let deadline = Instant::now() + TIMEOUT;
    let status = format!("/proc/{}/status", service.id());
    while !std::fs::read_to_string(&status).unwrap().contains("State:\tT") {
        assert!(Instant::now() < deadline, "it does not stop");
        std::thread::yield_now();
    }
    service.signal(Signal::CONT).unwrap();
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

#[test]
fn a_held_stdout_blocks_the_service_until_it_is_read() {
    let mut service = shell_with(WRITER, Output::Held);
    wait_for_full_pipe(&service);
    assert!(service.stdout().is_empty());

    service.read_stdout();

    assert!(service.wait_exit(TIMEOUT).unwrap().success());
    let lines = service.stdout();
    assert_eq!(lines.len(), 40);
    assert!(lines.iter().enumerate().all(|(n, line)| line.parse() == Ok(n)));
}

#[test]
fn reading_can_stop_and_go_on_without_losing_a_byte() {
    let script = format!("printf 'half '; echo ready >&2; kill -STOP $$; {WRITER}");
    let mut service = shell(&script, &[]);
    service.wait_for_stderr(TIMEOUT, |line| line == "ready").unwrap();

    service.hold_stdout();
    continue_when_stopped(&service);
    wait_for_full_pipe(&service);
    let before = service.stdout();
    service.read_stdout();

    service.wait_exit(TIMEOUT).unwrap();
    let lines = service.stdout();
    assert!(before.is_empty());
    assert_eq!(lines.len(), 40);
    assert!(lines[0].starts_with("half 000"));
    assert_eq!(lines[39].parse(), Ok(39));
}

#[test]
fn a_closed_stdout_fails_writes_whether_it_was_read_or_held() {
    for output in [Output::Read, Output::Held] {
        let script =
            "trap '' PIPE; echo ready >&2; kill -STOP $$; while echo lost; do :; done; echo failed >&2";
        let mut service = shell_with(script, output);
        service.wait_for_stderr(TIMEOUT, |line| line == "ready").unwrap();

        service.close_stdout();
        continue_when_stopped(&service);

        service.wait_exit(TIMEOUT).unwrap();
        assert!(service.stderr().iter().any(|line| line == "failed"));
        assert!(service.stdout().is_empty());
    }
}

#[test]
fn stdout_can_be_a_file_that_takes_nothing() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut service = shell_with("echo lost || echo failed >&2", Output::File(full));

    let status = service.wait_exit(TIMEOUT).unwrap();

    assert!(status.success());
    assert!(service.stderr().iter().any(|line| line == "failed"));
    assert!(service.stdout().is_empty());
}

#[test]
fn a_process_that_is_held_can_still_be_waited_for() {
    let mut service = shell_with("echo left in the pipe", Output::Held);

    let status = service.wait_exit(TIMEOUT).unwrap();
    service.read_stdout();

    assert!(status.success());
    service.wait_exit(TIMEOUT).unwrap();
    assert_eq!(service.stdout(), ["left in the pipe"]);
}

#[test]
fn memory_is_that_of_the_living_process() {
    let mut service = shell("echo ready; kill -STOP $$", &[]);
    service.wait_for_stdout(TIMEOUT, |line| line == "ready").unwrap();

    let memory = service.memory_bytes().unwrap();

    assert!((64 << 10..64 << 20).contains(&memory), "{memory}");
    service.signal(Signal::KILL).unwrap();
    service.wait_exit(TIMEOUT).unwrap();
    assert!(service.memory_bytes().is_err());
}
