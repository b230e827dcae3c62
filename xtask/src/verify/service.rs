//! The service under check: what it says of itself, and the requests that are looked for later.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{mem, thread};

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use super::Cross;
use crate::http::{Fault, Server};

/// Requests of the mix, enough for each rate of the panels to be above zero.
const INTERVAL: Duration = Duration::from_millis(100);
/// The service's own tests, which call its own model: one before each scrape, and few of the ten a minute.
const SELF_TESTS: Duration = Duration::from_secs(14);
/// The mix; the route of [`sample`] is not in it, so that the exemplar of a sample stays.
const MIX: [&str; 5] = [
    "/health",
    "/api/users/1",
    "/health",
    "/api/metrics/status",
    "/verify/no-such-page",
];
const SAMPLE_PATH: &str = "/";
pub(super) const SELF_TEST: &str = "/api/metrics/test";

/// What the service calls itself, and its queries.
#[derive(Debug)]
pub(super) struct Service {
    /// As it stands inside the quotes of a query; so does the next.
    pub(super) app_name: String,
    pub(super) service_name: String,
    pub(super) panels: Vec<Panel>,
    pub(super) loki_queries: Vec<Query>,
    pub(super) tempo_queries: Vec<Query>,
    /// Whether it makes calls of its own model for us; an admin key may be missing or wrong.
    pub(super) tests_itself: bool,
}

/// One query of a panel.
#[derive(Debug)]
pub(super) struct Panel {
    pub(super) query: Query,
    pub(super) datasource: Datasource,
    /// Uid of the dashboard.
    pub(super) dashboard: String,
}

/// Where a query is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Datasource {
    Prometheus,
    Loki,
    Tempo,
}

/// One query of `/api/metrics/grafana-queries`.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) key: String,
    pub(super) text: String,
}

/// One request that was made.
#[derive(Debug)]
pub(super) struct Sample {
    /// 32 hexadecimal digits.
    pub(super) trace_id: String,
    pub(super) made_at: Instant,
}

/// Makes requests until it is dropped.
#[derive(Debug)]
pub(super) struct Traffic {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// # Errors
    /// When the service does not answer, or is another program.
    pub(super) fn describe(server: &Server) -> Result<Self, Fault> {
        const STATUS: &str = "/api/metrics/status";
        const QUERIES: &str = "/api/metrics/grafana-queries";
        let status = server.json(STATUS, &[])?;
        let name = |key| {
            let name = status.get(key).and_then(Value::as_str);
            name.map(escaped).ok_or_else(|| server.foreign(STATUS))
        };
        let (app_name, service_name) = (name("app_name")?, name("service_name")?);
        // The queries name /health, so that it must have been asked once.
        for path in ["/health", SAMPLE_PATH] {
            server.successful(path, &[])?;
        }
        let told = server.json(QUERIES, &[])?;
        let members = |key| told.get(key).and_then(Value::as_object);
        let foreign = || server.foreign(QUERIES);
        let queries = |key| members(key).and_then(|all| read(all, query)).ok_or_else(foreign);
        Ok(Self {
            app_name,
            service_name,
            panels: members("panels")
                .and_then(|all| read(all, panel))
                .ok_or_else(foreign)?,
            loki_queries: queries("loki_queries")?,
            tempo_queries: queries("tempo_queries")?,
            tests_itself: server.has_credentials() && tests_itself(server),
        })
    }
}

fn tests_itself(server: &Server) -> bool {
    server
        .post(SELF_TEST, "")
        .is_ok_and(|answer| answer.status == 200)
}

/// The inside of a double-quoted text, the same in all three languages.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// Every member as `one` reads it; `None` without any, or when one cannot be read.
fn read<T>(members: &Map<String, Value>, one: fn(&str, &Value) -> Option<T>) -> Option<Vec<T>> {
    let all: Vec<T> = members
        .iter()
        .map(|(key, value)| one(key, value))
        .collect::<Option<_>>()?;
    (!all.is_empty()).then_some(all)
}

fn query(key: &str, text: &Value) -> Option<Query> {
    Some(Query {
        key: key.to_owned(),
        text: text.as_str()?.to_owned(),
    })
}

fn panel(key: &str, panel: &Value) -> Option<Panel> {
    Some(Panel {
        query: query(key, panel.get("query")?)?,
        datasource: match panel.get("datasource")?.as_str()? {
            "prometheus" => Datasource::Prometheus,
            "loki" => Datasource::Loki,
            "tempo" => Datasource::Tempo,
            _ => return None,
        },
        dashboard: panel.get("dashboard")?.as_str()?.to_owned(),
    })
}

/// Makes one sampled request with a trace id of our own.
///
/// # Errors
/// When it fails, or its answer names another trace.
pub(super) fn sample(server: &Server) -> Result<Sample, Cross> {
    let trace_id = format!("{:032x}", rand::random::<u128>() | 1);
    let traceparent = format!("00-{trace_id}-{:016x}-01", rand::random::<u64>() | 1);
    let answer = server.answer(SAMPLE_PATH, &[], &[("traceparent", &traceparent)])?;
    if answer.status != 200 {
        return Err(server.refused(SAMPLE_PATH, &answer).into());
    }
    match answer.trace_id {
        Some(told) if told == trace_id => Ok(Sample {
            trace_id,
            made_at: Instant::now(),
        }),
        Some(_) => Err(Cross::new(
            "the service does not continue the trace of a traceparent header",
        )),
        None => Err(Cross::new("the service's answers have no x-trace-id")),
    }
}

impl Traffic {
    /// # Errors
    /// When no thread can be started.
    pub(super) fn start(server: &Server, with_self_tests: bool) -> Result<Self> {
        let server = server.clone();
        let (stop, stopped) = mpsc::channel();
        let make = move || {
            let mut next_self_test = with_self_tests.then(|| Instant::now() + SELF_TESTS);
            for path in MIX.into_iter().cycle() {
                // What goes wrong here shows in the checks; the answer is of no use.
                let _ = server.answer(path, &[], &[]);
                if next_self_test.is_some_and(|due| due <= Instant::now()) {
                    // A key that is refused is not presented again: each time counts as an attack.
                    next_self_test = tests_itself(&server).then(|| Instant::now() + SELF_TESTS);
                }
                if stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("traffic".to_owned()).spawn(make);
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread.context("start the traffic")?),
        })
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        drop(mem::take(&mut self.stop));
        if let Some(thread) = mem::take(&mut self.thread) {
            // A panic in it has been reported by then.
            let _ = thread.join();
        }
    }
}
