//! A process that ends badly still delivers what it said: each case runs in a process of its own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use gatewayz_telemetry::{ExportSettings, Telemetry, TelemetrySettings};
use gatewayz_testkit::otlp::Receiver;
use gatewayz_tracing::otlp::Protocol;

const END: &str = "LAST_WORDS_END";
const LINES: &str = "LAST_WORDS_LINES";
const COLLECTOR: &str = "LAST_WORDS_COLLECTOR";

/// What happens in the child: `main` of a service that fails.
#[test]
#[ignore = "is run by the others, in a process of its own"]
#[expect(
    clippy::disallowed_methods,
    reason = "these variables are the tests' and no settings"
)]
fn child() {
    let (Ok(end), Ok(lines), Ok(collector)) =
        (std::env::var(END), std::env::var(LINES), std::env::var(COLLECTOR))
    else {
        return;
    };
    let mut settings = TelemetrySettings::new("last-words", "1.0.0", "local");
    settings.log.file = Some(Arc::new(File::create(lines).unwrap()));
    settings.traces.export = Some(ExportSettings::new(Protocol::Grpc, collector.parse().unwrap()));
    let telemetry = Telemetry::start(settings).unwrap();

    let _last_words = telemetry.shutdown_on_drop(Duration::from_secs(10));
    tracing::info_span!("migrate").in_scope(|| tracing::info!("Before the end"));
    match end.as_str() {
        "panic" => panic!("no database"),
        "thread panic" => {
            std::thread::spawn(|| panic!("no database")).join().unwrap_err();
        }
        "thread local" => std::thread::spawn(log_at_the_very_end).join().unwrap(),
        _ => {}
    }
}

/// A thread-local of the service that has something to say, registered before those of a line.
fn log_at_the_very_end() {
    struct Pool;

    impl Drop for Pool {
        fn drop(&mut self) {
            tracing::info_span!("close").in_scope(|| tracing::info!("The pool is closed"));
        }
    }

    thread_local!(static POOL: Pool = const { Pool });
    POOL.with(|_| tracing::info!("The pool is open"));
}

/// The lines and the spans that such an end leaves.
fn after(end: &str) -> (String, Vec<String>) {
    let collector = Receiver::start();
    let directory = tempfile::tempdir().unwrap();
    let lines = directory.path().join("lines");
    run(end, &lines, &collector.grpc_endpoint());
    let spans = collector.spans().into_iter().map(|span| span.name).collect();
    (std::fs::read_to_string(lines).unwrap(), spans)
}

fn run(end: &str, lines: &Path, collector: &str) {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored"])
        .env(END, end)
        .env(LINES, lines)
        .env(COLLECTOR, collector)
        .output()
        .unwrap();
}

#[test]
fn a_main_that_returns_early_delivers_what_it_said() {
    let (lines, spans) = after("return");

    assert!(lines.contains("Before the end"), "{lines}");
    assert_eq!(spans, ["migrate"]);
}

#[test]
fn a_main_that_panics_delivers_what_it_said_and_why() {
    let (lines, spans) = after("panic");

    assert!(
        lines.contains("Before the end") && lines.contains("Panic: no database"),
        "{lines}"
    );
    assert_eq!(spans, ["migrate"]);
}

#[test]
fn a_thread_local_that_logs_while_its_thread_ends_is_delivered() {
    let (lines, mut spans) = after("thread local");

    spans.sort();
    assert!(lines.contains("The pool is closed"), "{lines}");
    assert_eq!(spans, ["close", "migrate"]);
}

#[test]
fn a_thread_that_panics_is_told() {
    let (lines, _) = after("thread panic");

    assert!(lines.contains("Panic: no database"), "{lines}");
}
