//! The service and the four backends: where they are, whether they answer, in which version, by which clock.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde_json::Value;
use url::{Host, Url};

use super::{Cross, Options, Tick};
use crate::http::{Authorization, Fault, Server, variable};

/// Largest difference between two clocks; `Date` has whole seconds.
const SKEW: Duration = Duration::from_secs(5);

/// One client for each program of the stack.
#[derive(Debug)]
pub(super) struct Stack {
    pub(super) service: Server,
    pub(super) prometheus: Server,
    pub(super) loki: Server,
    pub(super) tempo: Server,
    pub(super) grafana: Server,
}

/// Where a program tells its version, and the oldest that does what is needed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Oldest {
    /// What says where the program is.
    option: &'static str,
    path: &'static str,
    pointer: &'static str,
    version: (u32, u32),
    because: &'static str,
}

const SERVICE: Oldest = Oldest {
    option: "--base-url",
    path: "/",
    pointer: "/version",
    version: (0, 1),
    because: "it has the endpoints that are asked",
};
const PROMETHEUS: Oldest = Oldest {
    option: "--prometheus",
    path: "/api/v1/status/buildinfo",
    pointer: "/data/version",
    version: (2, 42),
    because: "older ones are not tried with these queries",
};
const LOKI: Oldest = Oldest {
    option: "--loki",
    path: "/loki/api/v1/status/buildinfo",
    pointer: "/version",
    version: (3, 0),
    because: "it takes structured metadata",
};
const TEMPO: Oldest = Oldest {
    option: "--tempo",
    path: "/api/status/buildinfo",
    pointer: "/version",
    version: (2, 0),
    because: "it knows TraceQL",
};
const GRAFANA: Oldest = Oldest {
    option: "--grafana",
    path: "/api/health",
    pointer: "/version",
    version: (10, 0),
    because: "it knows the links from traces to logs",
};

impl Stack {
    /// # Errors
    /// When a URL or a variable with credentials cannot be used.
    pub(super) fn new(root: &Path, options: &Options, timeout: Duration) -> Result<Self> {
        let backend = |name, url, option, variable: &Option<String>| {
            let authorization = variable.as_deref().map(required).transpose()?;
            Server::new(name, url, option, authorization, timeout)
        };
        let admin_key = variable(&options.admin_key_env).or_else(|| published_key(root, &options.base_url));
        let admin_key = admin_key.as_deref().map(Authorization::bearer);
        Ok(Self {
            service: Server::new(
                "Service",
                &options.base_url,
                "--admin-key-env",
                admin_key,
                timeout,
            )?,
            prometheus: backend(
                "Prometheus",
                &options.prometheus,
                "--prometheus-auth-env",
                &options.prometheus_auth_env,
            )?,
            loki: backend("Loki", &options.loki, "--loki-auth-env", &options.loki_auth_env)?,
            tempo: backend(
                "Tempo",
                &options.tempo,
                "--tempo-auth-env",
                &options.tempo_auth_env,
            )?,
            grafana: backend(
                "Grafana",
                &options.grafana,
                "--grafana-auth-env",
                &options.grafana_auth_env,
            )?,
        })
    }

    pub(super) fn all(&self) -> [(&Server, Oldest); 5] {
        [
            (&self.service, SERVICE),
            (&self.prometheus, PROMETHEUS),
            (&self.loki, LOKI),
            (&self.tempo, TEMPO),
            (&self.grafana, GRAFANA),
        ]
    }
}

/// Whether a program answers as itself, is new enough, and agrees about the time.
pub(super) fn probe(server: &Server, oldest: Oldest) -> Tick {
    let answer = server
        .answer(oldest.path, &[], &[])
        .map_err(|fault| with_advice(&fault, oldest.option))?;
    match answer.status {
        200..300 => {}
        404 => return Err(server.foreign(oldest.path).into()),
        _ => return Err(server.refused(oldest.path, &answer).into()),
    }
    let told: Value = serde_json::from_str(&answer.body).map_err(|_| server.foreign(oldest.path))?;
    let version = told
        .pointer(oldest.pointer)
        .and_then(Value::as_str)
        .ok_or_else(|| server.foreign(oldest.path))?;
    // A build without a release number, such as `main-1a2b3c4`, is taken as new.
    if let Some(found) = major_minor(version)
        && found < oldest.version
    {
        let (major, minor) = oldest.version;
        return Err(Cross::new(format_args!(
            "wrong version {version}; at least {major}.{minor} is needed: {}",
            oldest.because
        )));
    }
    if let Some(skew) = answer
        .date
        .as_deref()
        .and_then(|date| skew(date, SystemTime::now()))
    {
        return Err(Cross::new(skew));
    }
    Ok(version.to_owned())
}

/// The same, and what a user may do about it.
fn with_advice(fault: &Fault, option: &str) -> Cross {
    match fault {
        Fault::Unreachable { .. } => Cross::new(format_args!(
            "{fault}; start it (docker compose up -d --wait), or say where it is with {option}"
        )),
        Fault::Slow { .. } | Fault::Credentials { .. } | Fault::Status { .. } | Fault::Foreign { .. } => {
            Cross::new(fault)
        }
    }
}

fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim_start_matches('v').split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Says how far a `Date` is from now when that is too much.
fn skew(date: &str, now: SystemTime) -> Option<String> {
    let date = httpdate::parse_http_date(date).ok()?;
    let (difference, direction) = match date.duration_since(now) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    (difference > SKEW).then(|| {
        format!(
            "clock skew: its clock is {} s {direction} this machine's, so that data is looked for at the wrong time",
            difference.as_secs()
        )
    })
}

fn required(name: &str) -> Result<Authorization> {
    let credentials = variable(name).with_context(|| format!("read the variable {name}: it is not set"))?;
    Ok(Authorization::of(&credentials))
}

/// The key that local services accept; it is published, so it goes to this machine alone.
fn published_key(root: &Path, base_url: &Url) -> Option<String> {
    let is_here = match base_url.host()? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    let settings = is_here.then(|| fs::read_to_string(root.join("deploy/env/local.env")).ok())??;
    let key = settings
        .lines()
        .find_map(|line| line.strip_prefix("ADMIN_API_KEY="))?;
    Some(key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(major_minor("2.42.0+ds"), Some((2, 42)));
        assert_eq!(major_minor("v3.0.3"), Some((3, 0)));
        assert!(major_minor("2.9.1") < major_minor("2.42.0"));
        assert_eq!(major_minor("main-1a2b3c4"), None);
    }

    #[test]
    fn a_clock_that_is_off_is_told_with_its_direction() {
        let now = SystemTime::now();
        let at = httpdate::fmt_http_date;
        let minute = Duration::from_secs(62);

        assert_eq!(skew(&at(now), now), None);
        assert!(skew(&at(now - minute), now).unwrap().contains("s behind this"));
        assert!(skew(&at(now + minute), now).unwrap().contains("s ahead of this"));
    }

    #[test]
    fn the_published_key_goes_to_this_machine_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("deploy/env")).unwrap();
        fs::write(
            root.path().join("deploy/env/local.env"),
            "# key\nADMIN_API_KEY=abc\n",
        )
        .unwrap();
        let key = |url: &str| published_key(root.path(), &Url::parse(url).unwrap());

        assert_eq!(key("http://127.0.0.1:8000").as_deref(), Some("abc"));
        assert_eq!(key("http://localhost:8000").as_deref(), Some("abc"));
        assert_eq!(key("https://example.org"), None);
    }
}
