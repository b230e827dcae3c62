//! The service as its container runs it: not root, no capabilities, nothing to write to, little memory.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use gatewayz_testkit::http::Client;
use gatewayz_testkit::otlp::Receiver;
use gatewayz_testkit::process::{Service, Signal};
use gatewayz_testkit::{skip, tools};

use crate::harness::{DEADLINE, binary, repository};

const MEBIBYTE: u64 = 1024 * 1024;
const MEMORY_MAX_BYTES: u64 = 64 * MEBIBYTE;
/// As in the benchmark: connections that are kept, and on each of them these requests.
const CONNECTIONS: usize = 32;
const REQUESTS: usize = 500;
const LONGEST_CALLS: usize = 4;
/// Each is at most as large as its setting says; everything else together has [`MEMORY_MAX_BYTES`].
const BOUNDS: [&str; 6] = [
    "LOG_STDOUT_BUFFER_BYTES",
    "LOKI_QUEUE_BYTES",
    "TRACES_QUEUE_BYTES",
    "INFERENCE_BODIES_MAX_BYTES",
    "INFERENCE_ANSWERS_MAX_BYTES",
    "INFERENCE_CACHE_BYTES",
];
/// What docker-compose.yml sets, with a Loki that is not there.
const ENVIRONMENT: [(&str, &str); 7] = [
    ("ENVIRONMENT", "local"),
    ("HOST", "0.0.0.0"),
    ("PORT", "0"),
    ("LOKI_ENABLED", "true"),
    ("LOKI_PUSH_URL", "http://127.0.0.1:9/loki/api/v1/push"),
    ("SHUTDOWN_PRESTOP", "0"),
    ("SHUTDOWN_FLUSH", "1"),
];

/// The mount makes the whole tree read-only, as `read_only: true` does, in a mount namespace that ends with the service.
/// The limit, in KiB, is on what the process may write to, whether it does or not; a container's is on what it does.
const CONTAIN: &str = "mount -o remount,bind,ro / && ulimit -d \"$1\" && exec setpriv --reuid 65532 --regid 65532 \
                       --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \"$0\"";

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
    let limit = shipped_limit_kibibytes().to_string();
    let arguments = ["--mount", "sh", "-c", CONTAIN, program, &limit];
    let unshare = tools::program("unshare").unwrap();
    let tempo = Receiver::counting();
    let endpoint = tempo.grpc_endpoint();
    let mut environment = with_path();
    environment.push(("TEMPO_OTLP_GRPC_ENDPOINT", &endpoint));

    let mut service = Service::start(&unshare, &arguments, &environment, directory.path()).unwrap();
    let address = service.wait_for_address(DEADLINE).unwrap();
    let own = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", service.id())).unwrap();
    let (status, limits) = (own("status"), own("limits"));
    let written = fs::write(format!("/proc/{}/root/gatewayz-test", service.id()), "");
    let connect = || Client::connect(([127, 0, 0, 1], address.port()).into()).unwrap();
    assert_eq!(connect().get("/ready", &[]).unwrap().status, 200);
    let idle = service.memory_bytes().unwrap();
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut client = connect();
                for _ in 0..REQUESTS {
                    assert_eq!(client.get("/api/users/1", &[]).unwrap().status, 200);
                }
            });
        }
    });
    let busy = service.memory_bytes().unwrap();
    tempo.wait_for(CONNECTIONS * REQUESTS, DEADLINE).unwrap();
    let longest = longest_call();
    let call = || connect().post("/v1/chat/completions", &[], &longest);
    thread::scope(|scope| {
        for _ in 0..LONGEST_CALLS {
            // For most there is no room, and who is refused before the end may not get to read it.
            scope.spawn(|| call().is_ok_and(|answer| answer.status == 503));
        }
    });
    // The built-in provider takes no such body, after it was read and made ready for it.
    assert_eq!(call().unwrap().status, 413);
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
    let data = limits.lines().find(|line| line.starts_with("Max data size"));
    let bytes = (shipped_limit_kibibytes() * 1024).to_string();
    assert_eq!(
        data.and_then(|line| line.split_whitespace().nth(3)),
        Some(&*bytes)
    );
    assert_eq!(written.unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    assert!(idle < MEMORY_MAX_BYTES, "{idle} bytes at rest");
    assert!(busy < MEMORY_MAX_BYTES, "{busy} bytes after the requests");
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
        .args(["--mount", "sh", "-c", CONTAIN, "true", "unlimited"])
        .output()
        .unwrap();
    if !tried.status.success() {
        return Err(String::from_utf8_lossy(&tried.stderr).into_owned());
    }
    Ok(())
}

/// A stream's body of nearly the length that is allowed, in which usage is not asked for yet.
fn longest_call() -> Vec<u8> {
    let words = "x".repeat(31 * 1024 * 1024);
    let body =
        format!(r#"{{"model":"echo","stream":true,"messages":[{{"role":"user","content":"{words}"}}]}}"#);
    body.into_bytes()
}

/// `mem_limit` of the service in docker-compose.yml.
#[track_caller]
fn shipped_limit_kibibytes() -> u64 {
    let text = fs::read_to_string(repository().join("docker-compose.yml")).unwrap();
    let service = text.split_once("\n  fastapi_backend:").unwrap().1;
    let limit = service
        .lines()
        .find_map(|line| line.trim().strip_prefix("mem_limit: ")?.strip_suffix('m'));
    limit.unwrap().parse::<u64>().unwrap() * 1024
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
fn with_path<'a>() -> Vec<(&'a str, &'a str)> {
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
