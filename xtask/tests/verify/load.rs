//! `cargo xtask load` against a fake service.

use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::fake::{Fake, Reply, nobody};

/// Deadline of everything that is waited for.
const DEADLINE: Duration = Duration::from_secs(20);
/// `load` asks for health before and after.
const OWN_REQUESTS: u64 = 2;

/// A service that takes `delay` for each answer, and how many requests it had.
fn service(delay: Duration) -> (Fake, Arc<AtomicU64>) {
    let served = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&served);
    let fake = Fake::start(move |request| {
        count.fetch_add(1, Ordering::Relaxed);
        thread::sleep(delay);
        match request.path.as_str() {
            "/no-such-page" => Reply::not_found(),
            "/v1/chat/completions" => Reply::text(200, "data: {}\n\ndata: [DONE]\n\n"),
            _ => Reply::text(200, "{}"),
        }
    });
    (fake, served)
}

fn start(url: &str, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["load", "--base-url", url])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn text(output: &Output) -> String {
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    format!("{stdout}{stderr}")
}

/// The first word of the summary.
fn requests(output: &Output) -> u64 {
    let text = text(output);
    text.split(' ').next().unwrap().parse().expect(&text)
}

#[test]
fn a_service_that_cannot_be_reached_is_told() {
    let output = start(&nobody(), &[]).wait_with_output().unwrap();

    assert!(!output.status.success());
    assert!(
        text(&output).contains("error: reach the service: Service is not reachable at http://127.0.0.1:")
    );
}

#[test]
fn the_summary_counts_what_the_service_has_served() {
    let (fake, served) = service(Duration::ZERO);

    let output = start(
        &fake.url(),
        &["--rate", "100", "--duration", "1s", "--errors", "0%"],
    )
    .wait_with_output()
    .unwrap();

    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(requests(&output), served.load(Ordering::Relaxed) - OWN_REQUESTS);
    assert!(
        text(&output).contains(&format!("200  {}", requests(&output))),
        "{}",
        text(&output)
    );
}

#[test]
fn slow_answers_do_not_slow_the_requests_down() {
    let (fake, _) = service(Duration::from_millis(800));

    let output = start(&fake.url(), &["--rate", "50", "--duration", "2s"])
        .wait_with_output()
        .unwrap();

    // One after the other there were three.
    assert!(requests(&output) > 50, "{}", text(&output));
}

#[test]
fn a_stream_that_ends_early_is_counted() {
    let fake = Fake::start(|_| Reply::text(200, "data: {}\n\n"));

    let output = start(
        &fake.url(),
        &["--duration", "1s", "--errors", "0%", "--streams", "100%"],
    )
    .wait_with_output()
    .unwrap();

    assert!(
        text(&output).contains(&format!("cut streams  {}", requests(&output))),
        "{}",
        text(&output)
    );
}

#[test]
fn an_interrupt_ends_it_with_a_summary() {
    let (fake, served) = service(Duration::ZERO);
    let child = start(&fake.url(), &["--duration", "1h"]);
    let deadline = Instant::now() + DEADLINE;
    while served.load(Ordering::Relaxed) < 10 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }

    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();

    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(requests(&output), served.load(Ordering::Relaxed) - OWN_REQUESTS);
}

#[test]
fn a_service_that_goes_away_is_told() {
    let served = AtomicU64::new(0);
    let fake = Fake::start(move |_| match served.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::text(200, "{}"),
        _ => Reply::text(503, "{}"),
    });

    let output = start(&fake.url(), &["--duration", "1s"])
        .wait_with_output()
        .unwrap();

    assert!(!output.status.success());
    assert!(
        text(&output).contains("The service went away: Service answered 503"),
        "{}",
        text(&output)
    );
}
