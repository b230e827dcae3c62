//! `verify`: the seeds' verification checklist against any running stack, from outside.

mod correlation;
mod grafana;
mod health;
mod loki;
mod panels;
mod prometheus;
mod service;
mod stack;
mod tempo;
mod wait;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use url::Url;

use crate::http::{self, Fault};
use service::Service;
use stack::Stack;
use wait::Wait;

/// Where the stack is, and how long data may take.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The service.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000", value_parser = http::url)]
    base_url: Url,
    /// Prometheus.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090", value_parser = http::url)]
    prometheus: Url,
    /// Loki.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3100", value_parser = http::url)]
    loki: Url,
    /// Tempo, its HTTP port.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3200", value_parser = http::url)]
    tempo: Url,
    /// Grafana.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000", value_parser = http::url)]
    grafana: Url,
    /// Variable with an admin key of the service; without it the service's own tests are left out where they need one.
    #[arg(long, value_name = "VARIABLE", default_value = "ADMIN_API_KEY")]
    admin_key_env: String,
    /// Variable with `user:password` or a bearer token for Prometheus.
    #[arg(long, value_name = "VARIABLE")]
    prometheus_auth_env: Option<String>,
    /// The same for Loki.
    #[arg(long, value_name = "VARIABLE")]
    loki_auth_env: Option<String>,
    /// The same for Tempo.
    #[arg(long, value_name = "VARIABLE")]
    tempo_auth_env: Option<String>,
    /// The same for Grafana, which is asked anonymously without it.
    #[arg(long, value_name = "VARIABLE")]
    grafana_auth_env: Option<String>,
    /// Longest wait for data to show up, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    timeout: f32,
}

/// Evidence, or the reason of a cross.
type Tick = Result<String, Cross>;

type Check = fn(&Run) -> Tick;

/// Why a line gets a cross; one line of text.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
struct Cross {
    reason: String,
    /// No waiting changes it.
    is_final: bool,
}

impl Cross {
    /// Something that may still come.
    fn new(reason: impl fmt::Display) -> Self {
        Self {
            reason: reason.to_string(),
            is_final: false,
        }
    }
}

impl From<Fault> for Cross {
    fn from(fault: Fault) -> Self {
        Self {
            reason: fault.to_string(),
            is_final: !fault.may_pass(),
        }
    }
}

/// What every check looks at.
#[derive(Debug)]
struct Run {
    stack: Stack,
    service: Result<Service, Fault>,
    wait: Wait,
}

impl Run {
    fn service(&self) -> Result<&Service, Cross> {
        self.service.as_ref().map_err(|fault| fault.clone().into())
    }
}

/// Makes traffic, checks everything, prints a line for each; `false` on any cross.
///
/// # Errors
/// When an option cannot be used, so that nothing was checked.
pub(crate) fn verify(root: &Path, options: &Options) -> Result<bool> {
    ensure!(
        options.timeout.is_finite() && (0.1..=3600.0).contains(&options.timeout),
        "read --timeout: it is not between 0.1 and 3600 seconds"
    );
    let wait = Wait::new(Duration::from_secs_f32(options.timeout));
    let stack = Stack::new(root, options, wait.request_timeout())?;
    println!(".. look at the service and its four backends");
    let service = Service::describe(&stack.service);
    let traffic = service
        .as_ref()
        .ok()
        .map(|service| service::Traffic::start(&stack.service, service.tests_itself))
        .transpose()?;
    let mut passed = true;
    for (server, oldest) in stack.all() {
        passed &= print(server.name(), &stack::probe(server, oldest));
    }
    let run = Run { stack, service, wait };
    let ticks: [(&str, Check); 9] = [
        ("Prometheus scraping backend metrics", prometheus::scrapes),
        ("Loki ingesting structured logs", loki::ingests),
        ("Tempo receiving traces", tempo::receives),
        ("Grafana datasources connected", grafana::datasources),
        ("FastAPI Dashboard loads", grafana::dashboard),
        ("All 8 panels display data", panels::display_data),
        ("Metrics update every 15 seconds", prometheus::updates),
        ("Logger stream shows real-time logs", loki::streams),
        ("Trace-log correlation working", correlation::agrees),
    ];
    let mut ticked = 0;
    for (title, check) in ticks {
        let tick = check(&run);
        ticked += usize::from(tick.is_ok());
        passed &= print(title, &tick);
    }
    for (title, check) in [
        (
            "Other dashboards display data",
            panels::others_display_data as Check,
        ),
        ("Health tells the truth", health::is_true),
    ] {
        passed &= print(title, &check(&run));
    }
    drop(traffic);
    println!("{ticked} of {} ticks", ticks.len());
    Ok(passed)
}

fn print(title: &str, tick: &Tick) -> bool {
    match tick {
        Ok(evidence) => println!("✓ {title}: {evidence}"),
        Err(reason) => println!("✗ {title}: {reason}"),
    }
    tick.is_ok()
}
