//! SIGHUP: which keys work before and after, and what is told.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use gatewayz_testkit::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Api, DEADLINE, PUBLISHED_KEY, hashed, spawn_in, wait_for};

const FIRST: &str = "gw_live_0f9aKq2bXz71LmVtRw83Yd";
const SECOND: &str = "gw_live_pW4sTn6cUe05GhJkBv92Qi";
const KEPT: &str = "gw_live_Yc3RmZ8tHq60VnXwLd15Sb";
const ADMIN_PATH: &str = "/api/instrumentation/config";

/// A service outside `local` whose settings are in the file `settings.toml` of a directory of its own.
struct Running {
    directory: TempDir,
    api: Api,
}

impl Running {
    #[track_caller]
    fn start(settings: &str, more: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "settings.toml", settings);
        write(directory.path(), "catalog.toml", CATALOG);
        let environment = [
            ("ENVIRONMENT", "staging"),
            ("CONFIG_FILE", "settings.toml"),
            ("CATALOG_FILE", "catalog.toml"),
        ];
        let environment: Vec<_> = environment.iter().chain(more).copied().collect();
        let api = spawn_in(directory.path(), &environment);
        Self { directory, api }
    }

    #[track_caller]
    fn write(&self, file: &str, text: &str) {
        write(self.directory.path(), file, text);
    }

    #[track_caller]
    fn hang_up(&self) {
        self.api.service.signal(Signal::HUP).unwrap();
    }

    #[track_caller]
    fn status(&self, path: &str, key: &str) -> u16 {
        let authorization = format!("Bearer {key}");
        let headers = [("Authorization", authorization.as_str())];
        self.api.request("GET", path, &headers, b"").status
    }

    /// Waits until the key opens the path.
    #[track_caller]
    fn wait_for_key(&self, path: &str, key: &str) {
        let opened = wait_for(DEADLINE, || (self.status(path, key) == 200).then_some(()));
        assert_eq!(opened, Some(()), "{:?}", self.api.lines());
    }

    /// The message of the one ERROR line that the refused reload leaves.
    #[track_caller]
    fn wait_for_refusal(&self) -> String {
        let is_refusal = |line: &Value| line["target"] == "gatewayz_api::reload" && line["level"] == "ERROR";
        self.api.wait_for_line(is_refusal);
        let lines: Vec<Value> = self.api.lines().into_iter().filter(is_refusal).collect();
        let [line] = lines.as_slice() else {
            panic!("{lines:?}")
        };
        line["message"].as_str().unwrap().to_owned()
    }
}

const CATALOG: &str = r#"
[[providers]]
name = "local"
kind = "echo"

[[models]]
id = "first"
candidates = [{ provider = "local", model = "echo" }]
"#;

/// Whole or not at all: a reload must not see half of a file.
#[track_caller]
fn write(directory: &Path, file: &str, text: &str) {
    let next = directory.join("next");
    fs::write(&next, text).unwrap();
    fs::rename(&next, directory.join(file)).unwrap();
}

/// A line for each list of keys.
fn admin_and_api_keys(keys: &[(&str, &str)]) -> String {
    let entries: Vec<String> = keys.iter().map(|(name, key)| hashed(name, key)).collect();
    let entries = entries.join(",");
    format!("ADMIN_API_KEYS_SHA256 = \"{entries}\"\nAPI_KEYS_SHA256 = \"{entries}\"\n")
}

#[test]
fn a_replaced_key_file_opens_with_the_new_key_alone_and_a_broken_one_keeps_it() {
    let directory = tempfile::tempdir().unwrap();
    let key_file = directory.path().join("admin.key");
    write(directory.path(), "admin.key", FIRST);
    let running = Running::start("", &[("ADMIN_API_KEY_FILE", key_file.to_str().unwrap())]);
    assert_eq!(running.status(ADMIN_PATH, FIRST), 200);

    write(directory.path(), "admin.key", &format!("{SECOND}\n"));
    running.hang_up();
    running.wait_for_key(ADMIN_PATH, SECOND);
    assert_eq!(running.status(ADMIN_PATH, FIRST), 401);

    write(directory.path(), "admin.key", &format!("{FIRST}\n{FIRST}"));
    running.hang_up();
    let refusal = running.wait_for_refusal();

    assert!(
        refusal.starts_with("Everything stays as it was: ADMIN_API_KEY_FILE ") && !refusal.contains(FIRST),
        "{refusal}"
    );
    assert_eq!(running.status(ADMIN_PATH, SECOND), 200);
    assert_eq!(running.status(ADMIN_PATH, FIRST), 401);
}

#[test]
fn a_key_that_is_in_both_sets_is_never_refused() {
    let settings = |other| admin_and_api_keys(&[("kept", KEPT), ("other", other)]);
    let running = Running::start(&settings(FIRST), &[]);
    let authorization = format!("Bearer {KEPT}");
    let (over, asked) = (AtomicBool::new(false), AtomicBool::new(false));

    let statuses = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut client = running.api.client();
            let headers = [("Authorization", authorization.as_str())];
            let mut statuses = Vec::new();
            while !over.load(Ordering::Acquire) {
                for path in [ADMIN_PATH, "/v1/models"] {
                    statuses.push(client.request("GET", path, &headers, b"").unwrap().status);
                }
                asked.store(true, Ordering::Release);
            }
            statuses
        });
        for other in [SECOND, FIRST, SECOND, FIRST, SECOND] {
            running.write("settings.toml", &settings(other));
            running.hang_up();
            running.wait_for_key(ADMIN_PATH, other);
            running.wait_for_key("/v1/models", other);
            asked.store(false, Ordering::Release);
            wait_for(DEADLINE, || asked.load(Ordering::Acquire).then_some(())).unwrap();
        }
        over.store(true, Ordering::Release);
        asking.join().unwrap()
    });

    assert!(statuses.len() >= 10);
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(running.status(ADMIN_PATH, FIRST), 401);
    assert_eq!(running.status("/v1/models", FIRST), 401);
}

#[test]
fn a_client_key_that_stays_keeps_what_is_left_of_its_calls() {
    let settings = |other| {
        let keys = admin_and_api_keys(&[("kept", KEPT), ("other", other)]);
        format!("{keys}API_KEY_REQUESTS_PER_MINUTE = 1\n")
    };
    let running = Running::start(&settings(FIRST), &[]);
    assert_eq!(running.status("/v1/models", KEPT), 200);

    running.write("settings.toml", &settings(SECOND));
    running.hang_up();
    running.wait_for_key("/v1/models", SECOND);

    assert_eq!(running.status("/v1/models", KEPT), 429);
    assert_eq!(running.status("/v1/models", FIRST), 401);
}

#[test]
fn a_mistake_anywhere_keeps_every_key_and_the_catalog() {
    let next = admin_and_api_keys(&[("next", SECOND)]);
    let wrong_digest =
        |name: &str| next.replacen(&format!("{name} = \"next:"), &format!("{name} = \"canary"), 1);
    let cases = [
        (
            "SHUTDOWN_DRAIN",
            format!("{next}SHUTDOWN_DRAIN = \"canary\"\n"),
            CATALOG,
        ),
        ("CATALOG_FILE", next.clone(), "canary"),
        (
            "ADMIN_API_KEYS_SHA256",
            wrong_digest("ADMIN_API_KEYS_SHA256"),
            CATALOG,
        ),
        ("API_KEYS_SHA256", wrong_digest("\nAPI_KEYS_SHA256"), CATALOG),
        (
            "ADMIN_API_KEY",
            format!("{next}ADMIN_API_KEY = \"{PUBLISHED_KEY}\"\n"),
            CATALOG,
        ),
    ];
    for (name, settings, catalog) in cases {
        let running = Running::start(&admin_and_api_keys(&[("first", FIRST)]), &[]);

        running.write("settings.toml", &settings);
        running.write("catalog.toml", &catalog.replace("first", "second"));
        running.hang_up();
        let refusal = running.wait_for_refusal();

        assert!(refusal.contains(&format!(" {name}")), "{name}: {refusal}");
        assert!(
            !refusal.contains("canary") && !refusal.contains(PUBLISHED_KEY),
            "{refusal}"
        );
        for path in [ADMIN_PATH, "/v1/models/first"] {
            assert_eq!(running.status(path, FIRST), 200, "{name}: {path}");
            assert_eq!(running.status(path, SECOND), 401, "{name}: {path}");
        }
    }
}

#[test]
fn removed_keys_close_what_they_opened() {
    let running = Running::start(&admin_and_api_keys(&[("first", FIRST)]), &[]);

    running.write("settings.toml", "");
    running.hang_up();
    let closed = wait_for(DEADLINE, || {
        (running.status(ADMIN_PATH, FIRST) == 503).then_some(())
    });
    running
        .api
        .wait_for_line(|line| line["message"] == "The settings were read again");

    assert_eq!(closed, Some(()));
    assert_eq!(running.status("/v1/models", FIRST), 401);
    running
        .api
        .wait_for_line(|line| line["message"] == "Admin endpoints answer 503" && line["level"] == "ERROR");
}

#[test]
fn what_waits_for_a_restart_is_named_and_shown_as_it_is() {
    let keys = admin_and_api_keys(&[("first", FIRST)]);
    let token = |token: &str, rate: u32| {
        format!(
            "{keys}METRICS_TOKEN = \"{token}\"\nLOG_EVENTS_PER_SECOND = {rate}\nAPI_KEY_REQUESTS_PER_MINUTE = {rate}\n"
        )
    };
    let running = Running::start(&token(KEPT, 700), &[]);
    assert_eq!(running.status("/metrics", KEPT), 200);

    running.write("settings.toml", &token(SECOND, 900));
    running.hang_up();
    running.wait_for_key("/metrics", SECOND);
    let told = running
        .api
        .wait_for_line(|line| line["target"] == "gatewayz_api::reload" && line["level"] == "WARN");

    assert_eq!(running.status("/metrics", KEPT), 401);
    assert_eq!(
        told["message"],
        "Changed, and used at the next start only: LOG_EVENTS_PER_SECOND"
    );
    let authorization = format!("Bearer {FIRST}");
    let headers = [("Authorization", authorization.as_str())];
    let path = "/api/instrumentation/environment-variables";
    let shown: Value = serde_json::from_slice(&running.api.request("GET", path, &headers, b"").body).unwrap();
    let value = |name: &str| {
        let variables = shown["variables"].as_array().unwrap();
        let variable = variables.iter().find(|variable| variable["name"] == name);
        variable.unwrap()["value"].clone()
    };
    assert_eq!(value("LOG_EVENTS_PER_SECOND"), "700");
    assert_eq!(value("API_KEY_REQUESTS_PER_MINUTE"), "900");
}
