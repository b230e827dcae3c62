//! The service as its container runs it: not root, no capabilities, nothing to write to, little memory.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use gatewayz_testkit::http::Client;
use gatewayz_testkit::process::{Service, Signal};
use gatewayz_testkit::{skip, tools};

use crate::harness::{DEADLINE, binary, repository};

const MEBIBYTE: u64 = 1024 * 1024;
const MEMORY_MAX_BYTES: u64 = 64 * MEBIBYTE;
const REQUESTS: u32 = 5000;
/// Each is at most as large as its setting says; everything else together has [`MEMORY_MAX_BYTES`].
const BOUNDS: [&str; 5] = [
    "LOG_STDOUT_BUFFER_BYTES",
    "LOKI_QUEUE_BYTES",
    "TRACES_QUEUE_BYTES",
    "INFERENCE_BODY_MAX_BYTES",
    "INFERENCE_CACHE_BYTES",
];
/// What docker-compose.yml sets, with backends that are not there.
const ENVIRONMENT: [(&str, &str); 8] = [
    ("ENVIRONMENT", "local"),
    ("HOST", "0.0.0.0"),
    ("PORT", "0"),
    ("LOKI_ENABLED", "true"),
    ("LOKI_PUSH_URL", "http://127.0.0.1:9/loki/api/v1/push"),
    ("TEMPO_OTLP_GRPC_ENDPOINT", "http://127.0.0.1:9"),
    ("SHUTDOWN_PRESTOP", "0"),
    ("SHUTDOWN_FLUSH", "1"),
];

/// The mount makes the whole tree read-only, as `read_only: true` does, in a mount namespace that ends with the service.
const CONTAIN: &str = "mount -o remount,bind,ro / && exec setpriv --reuid 65532 --regid 65532 --clear-groups \
                       --no-new-privs --inh-caps=-all --bounding-set=-all \"$0\"";

#[test]
fn without_rights_and_without_a_place_to_write_it_serves_stops_and_stays_small() {
    let name = "without_rights_and_without_a_place_to_write_it_serves_stops_and_stays_small";
    if let Err(reason) = can_contain() {
        return skip(name, &reason);
    }
    let directory = tempfile::tempdir().unwrap();
    let reachable = directory.path().join("gatewayz-api");
    fs::copy(deployed(), &reachable).unwrap();
    // The folders of a checkout may be closed to others; this one is not.
    allow_all(directory.path());
    let program = reachable.to_str().unwrap();
    let arguments = ["--mount", "sh", "-c", CONTAIN, program];
    let unshare = tools::program("unshare").unwrap();

    let mut service = Service::start(&unshare, &arguments, &with_path(), directory.path()).unwrap();
    let address = service.wait_for_address(DEADLINE).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", service.id())).unwrap();
    let written = fs::write(format!("/proc/{}/root/gatewayz-test", service.id()), "");
    let mut client = Client::connect(([127, 0, 0, 1], address.port()).into()).unwrap();
    assert_eq!(client.get("/ready", &[]).unwrap().status, 200);
    let idle = service.memory_bytes().unwrap();
    for _ in 0..REQUESTS {
        assert_eq!(client.get("/api/users/1", &[]).unwrap().status, 200);
    }
    let busy = service.memory_bytes().unwrap();
    service.signal(Signal::TERM).unwrap();
    let exit = service.wait_exit(DEADLINE).unwrap();

    for line in [
        "Uid:\t65532\t65532\t65532\t65532",
        "NoNewPrivs:\t1",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
    ] {
        assert!(status.lines().any(|own| own == line), "{line}: {status}");
    }
    assert_eq!(written.unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    assert!(idle < MEMORY_MAX_BYTES, "{idle} bytes at rest");
    assert!(busy < MEMORY_MAX_BYTES, "{busy} bytes after {REQUESTS} requests");
    assert!(exit.success(), "{exit}");
}

#[test]
fn the_memory_limits_of_deployment_are_the_bounds_and_a_rest() {
    let output = Command::new(binary())
        .arg("check-config")
        .env_clear()
        .current_dir(repository())
        .output()
        .unwrap();
    let config = String::from_utf8(output.stdout).unwrap();
    let bounds: u64 = BOUNDS.iter().map(|name| bytes_of(&config, name)).sum();
    let limit = (bounds + MEMORY_MAX_BYTES) / MEBIBYTE;

    for (file, line) in [
        ("docker-compose.yml", format!("mem_limit: {limit}m")),
        (
            "deploy/kubernetes/base/deployment.yaml",
            format!("memory: {limit}Mi"),
        ),
    ] {
        let text = fs::read_to_string(repository().join(file)).unwrap();
        assert!(text.lines().any(|own| own.trim() == line), "{file} has no {line}");
    }
}

/// A reason to skip, when this machine cannot do what a container engine does.
fn can_contain() -> Result<(), String> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return Err("not root".to_owned());
    }
    for program in ["mount", "setpriv", "unshare"] {
        tools::program(program).ok_or_else(|| format!("{program} is not installed"))?;
    }
    let tried = Command::new("unshare")
        .args(["--mount", "sh", "-c", CONTAIN, "true"])
        .output()
        .unwrap();
    if !tried.status.success() {
        return Err(String::from_utf8_lossy(&tried.stderr).into_owned());
    }
    Ok(())
}

/// The release build that `cargo xtask test` names, else this one.
#[expect(
    clippy::disallowed_methods,
    reason = "this variable is the test runner's and no setting"
)]
fn deployed() -> PathBuf {
    std::env::var_os("GATEWAYZ_API_BINARY").map_or_else(|| binary().to_owned(), Into::into)
}

#[expect(clippy::disallowed_methods, reason = "the shell needs its PATH")]
fn with_path() -> Vec<(&'static str, &'static str)> {
    let path = std::env::var("PATH").unwrap();
    let mut environment = ENVIRONMENT.to_vec();
    environment.push(("PATH", path.leak()));
    environment
}

fn allow_all(directory: &Path) {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The value of such a line: `NAME=16MiB  # default`, or a plain number of bytes.
#[track_caller]
fn bytes_of(config: &str, name: &str) -> u64 {
    let value = config
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .and_then(|rest| rest.split_whitespace().next())
        .unwrap_or_else(|| panic!("{name} is not in {config}"));
    match value.strip_suffix("MiB") {
        Some(number) => number.parse::<u64>().unwrap() * MEBIBYTE,
        None => value.parse().unwrap(),
    }
}
