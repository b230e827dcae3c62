//! Starts the service as a process on a free port and reads what it leaves.

use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use gatewayz_testkit::http::{Answer, Client};
use gatewayz_testkit::process::{Output, Service};
use gatewayz_testkit::scrape::Samples;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The key that the documentation publishes; accepted with `ENVIRONMENT=local` alone.
pub(crate) const PUBLISHED_KEY: &str = "gw_live_wTfpLJ5VB28qMXpOAhr7Uw";
/// Deadline of everything that is waited for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A running service; killed when dropped.
pub(crate) struct Api {
    /// The process: its output, signals, exit.
    pub(crate) service: Service,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _directory: Option<TempDir>,
}

/// Starts the service with `PORT=0` and exactly these variables in a directory of its own, so without any env file.
#[track_caller]
pub(crate) fn spawn(environment: &[(&str, &str)]) -> Api {
    let directory = tempfile::tempdir().unwrap();
    let mut api = spawn_in(directory.path(), environment);
    api._directory = Some(directory);
    api
}

/// Starts the service with `PORT=0` and exactly these variables in this directory; in [`repository`] it finds the
/// env files.
#[track_caller]
pub(crate) fn spawn_in(directory: &Path, environment: &[(&str, &str)]) -> Api {
    let environment: Vec<(&str, &str)> = [("PORT", "0")].iter().chain(environment).copied().collect();
    started(Service::start(binary(), &[], &environment, directory).unwrap())
}

/// As [`spawn`], this build of the service with such a stdout.
#[track_caller]
pub(crate) fn spawn_as(binary: &Path, output: Output, environment: &[(&str, &str)]) -> Api {
    let directory = tempfile::tempdir().unwrap();
    let environment: Vec<(&str, &str)> = [("PORT", "0")].iter().chain(environment).copied().collect();
    let service = Service::start_with(binary, &[], &environment, directory.path(), output).unwrap();
    let mut api = started(service);
    api._directory = Some(directory);
    api
}

#[track_caller]
fn started(service: Service) -> Api {
    let address = service.wait_for_address(DEADLINE).unwrap();
    Api {
        service,
        address,
        _directory: None,
    }
}

/// A key as `ADMIN_API_KEYS_SHA256` and `API_KEYS_SHA256` take it.
pub(crate) fn hashed(name: &str, key: &str) -> String {
    let digest = Sha256::digest(key);
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name}:{digits}")
}

/// The built service.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_gatewayz-api"))
}

/// The top of the checkout.
pub(crate) fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// What `look` finds, which is asked again and again until it finds something; `None` after `timeout`.
pub(crate) fn wait_for<T>(timeout: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + timeout;
    loop {
        let found = look();
        if found.is_some() || Instant::now() >= deadline {
            return found;
        }
        // The facts are in other processes, which get the processor meanwhile.
        thread::sleep(Duration::from_millis(20));
    }
}

impl Api {
    /// A new connection to the service.
    #[track_caller]
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address).unwrap()
    }

    /// Lets the service open files up to this number, as many as it may at most with `None`.
    #[track_caller]
    pub(crate) fn limit_open_files(&self, current: Option<u64>) {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit {
            current: current.or(maximum),
            maximum,
        };
        let process = Pid::from_raw(self.service.id().cast_signed());
        prlimit(process, Resource::Nofile, limit).unwrap();
    }

    /// The answer to `GET path` on a new connection.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    /// The answer to any request on a new connection.
    #[track_caller]
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.client().request(method, path, headers, body).unwrap()
    }

    /// The answer to any request with the published admin key.
    #[track_caller]
    pub(crate) fn admin(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let authorization = format!("Bearer {PUBLISHED_KEY}");
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Content-Type", "application/json"),
        ];
        self.request(method, path, &headers, body)
    }

    /// Every sample of the metrics page.
    #[track_caller]
    pub(crate) fn scrape(&self) -> Samples {
        Samples::parse(&self.get("/metrics").text()).unwrap()
    }

    /// Sends requests that are served, not found, refused, of another method, without a body and with the admin
    /// key, and waits until the metrics have them. Needs the published key as `ADMIN_API_KEY`.
    #[track_caller]
    pub(crate) fn make_one_request_of_each_kind(&self) {
        let before = self.scrape().sum("fastapi_requests_total", &[]);
        let requests = [
            ("GET", "/api/users/1?page=2", 200),
            ("HEAD", "/api/users/1", 200),
            ("GET", "/no/such/path", 404),
            ("DELETE", "/health", 405),
            ("BREW", "/health", 405),
            ("GET", "/api/instrumentation/config", 401),
        ];
        for (method, path, status) in requests {
            let answer = self.request(method, path, &[], b"");
            assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        }
        for (method, path) in [
            ("GET", "/api/instrumentation/config"),
            ("POST", "/api/instrumentation/test-log"),
        ] {
            let answer = self.admin(method, path, b"");
            assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        }
        // The self-test calls /health: two requests.
        assert_eq!(self.request("POST", "/api/metrics/test", &[], b"").status, 200);
        self.wait_for_requests(before + 10.0);
    }

    /// Waits until this many requests are counted: one is when its last byte is sent, which the client may see first.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, count: f64) {
        let counted = || self.scrape().sum("fastapi_requests_total", &[]);
        let reached = wait_for(DEADLINE, || (counted() >= count).then_some(()));
        assert!(reached.is_some(), "{} of {count} requests are counted", counted());
    }

    /// Log lines on stdout so far; a line that is not JSON fails the test.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        let lines = self.service.stdout();
        lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The first log line that fits, waited for: lines are written after the answer is sent.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let line = self
            .service
            .wait_for_stdout(DEADLINE, |line| fits(&serde_json::from_str(line).unwrap()));
        serde_json::from_str(&line.unwrap()).unwrap()
    }
}
