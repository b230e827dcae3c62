//! No destination, however it fails, may fail or hold up a request, grow the process, or lose a record uncounted.
//!
//! Runs on the release build when `GATEWAYZ_API_BINARY` names one, as `cargo xtask test` does.

mod books;
mod load;
mod loki;
mod open_files;
mod otlp;
mod outages;
mod stdout;
mod stop;

use std::path::{Path, PathBuf};

use gatewayz_testkit::process::{Output, Service};

use crate::harness::{self, Api};

/// What a fault may add to the bounds of the queues: batches in flight, their encoded form, buffers of sockets.
const SLACK_BYTES: u64 = 8 << 20;

/// Starts the service on a free port in an empty directory, with its stdout as `output` says.
#[track_caller]
fn spawn(output: Output, environment: &[(&str, &str)]) -> Api {
    harness::spawn_as(&binary(), output, environment)
}

#[expect(
    clippy::disallowed_methods,
    reason = "this variable is the test runner's and no setting"
)]
fn binary() -> PathBuf {
    let given = std::env::var_os("GATEWAYZ_API_BINARY").map(PathBuf::from);
    given.unwrap_or_else(|| Path::new(harness::binary()).to_owned())
}

/// Asserts that the process has grown by at most the queues' bounds and the slack since `before`.
#[track_caller]
fn assert_memory_bounded(service: &Service, before: u64, bounds: u64) {
    let now = service.memory_bytes().unwrap();
    let limit = before + bounds + SLACK_BYTES;
    assert!(
        now <= limit,
        "{now} bytes resident, {before} before; at most {limit} expected"
    );
}
