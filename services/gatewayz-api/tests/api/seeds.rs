//! The commands of the two documents that this service comes from, as a person types them.

use std::net::TcpListener;
use std::process::{Command, Output};

use gatewayz_testkit::process::Service;
use gatewayz_testkit::skip;
use serde_json::Value;

use crate::harness::{DEADLINE, binary, repository, wait_for};

/// The address in every command of the documents.
const ADDRESS: &str = "127.0.0.1:8000";
/// Keys of the second document's log line, in its order.
const LOG_LINE_KEYS: [&str; 10] = [
    "timestamp",
    "level",
    "service",
    "endpoint",
    "method",
    "status_code",
    "duration_ms",
    "trace_id",
    "span_id",
    "message",
];

#[test]
fn every_command_of_the_two_documents_works_as_typed() {
    let name = "every_command_of_the_two_documents_works_as_typed";
    if TcpListener::bind(ADDRESS).is_err() {
        return skip(name, "port 8000 is taken");
    }
    if Command::new("curl").arg("--version").output().is_err() {
        return skip(name, "curl is not installed");
    }
    let service = Service::start(binary(), &[], &[], repository()).unwrap();
    let address = service.wait_for_address(DEADLINE).unwrap();
    assert_eq!(address, ADDRESS.parse().unwrap());

    let first = run_script("deploy/curl/seed-fastapi.sh");
    let second = run_script("deploy/curl/seed-dashboard.sh");

    assert_succeeded(&first);
    assert_succeeded(&second);
    let line = service
        .wait_for_stdout(DEADLINE, |line| line.contains("\"/api/users/1\""))
        .unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    let keys = line.as_object().unwrap().keys();
    assert_eq!(keys.take(LOG_LINE_KEYS.len()).collect::<Vec<_>>(), LOG_LINE_KEYS);
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["service"], "gatewayz-api");
    assert_eq!(line["endpoint"], "/api/users/1");
    assert_eq!(line["method"], "GET");
    assert_eq!(line["status_code"], 200);
    assert!(line["duration_ms"].is_f64());
    assert_eq!(line["message"], "Request completed");
    // 1, 10 and 100 of the first document, twice 100 of the second.
    let users = || {
        service
            .stdout()
            .iter()
            .filter(|line| line.contains("\"/api/users/1\""))
            .count()
    };
    wait_for(DEADLINE, || (users() >= 311).then_some(()));
    assert_eq!(users(), 311);
}

#[track_caller]
fn run_script(script: &str) -> Output {
    Command::new("bash")
        .arg(script)
        .current_dir(repository())
        .env_remove("STACK")
        .output()
        .unwrap()
}

#[track_caller]
fn assert_succeeded(output: &Output) {
    let said = [&output.stdout[..], &output.stderr[..]]
        .map(String::from_utf8_lossy)
        .concat();
    assert!(output.status.success(), "{}: {said}", output.status);
}
