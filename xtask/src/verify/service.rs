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
/// The mix; the route of [`sample`] is not in it, so that the exemplar of a sample stays.
const MIX: [&str; 5] = [
    "/health",
    "/api/users/1",
    "/health",
    "/api/metrics/status",
    "/verify/no-such-page",
];
const SAMPLE_PATH: &str = "/";

/// What the service calls itself, and its queries.
#[derive(Debug)]
pub(super) struct Service {
    /// As it stands inside the quotes of a query; so does the next.
    pub(super) app_name: String,
    pub(super) service_name: String,
    pub(super) panels: Vec<Query>,
    pub(super) loki_queries: Vec<Query>,
    pub(super) tempo_queries: Vec<Query>,
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
        let queries = |key, inner: fn(&Value) -> Option<&str>| {
            let members = told.get(key).and_then(Value::as_object);
            members
                .and_then(|members| read(members, inner))
                .ok_or_else(|| server.foreign(QUERIES))
        };
        Ok(Self {
            app_name,
            service_name,
            panels: queries("panels", |panel| panel.get("query")?.as_str())?,
            loki_queries: queries("loki_queries", Value::as_str)?,
            tempo_queries: queries("tempo_queries", Value::as_str)?,
        })
    }
}

/// The inside of a double-quoted text, the same in all three languages.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn read(members: &Map<String, Value>, inner: fn(&Value) -> Option<&str>) -> Option<Vec<Query>> {
    let query = |(key, value): (&String, &Value)| {
        Some(Query {
            key: key.clone(),
            text: inner(value)?.to_owned(),
        })
    };
    let queries: Vec<Query> = members.iter().map(query).collect::<Option<_>>()?;
    (!queries.is_empty()).then_some(queries)
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
    pub(super) fn start(server: &Server) -> Result<Self> {
        let server = server.clone();
        let (stop, stopped) = mpsc::channel();
        let make = move || {
            for path in MIX.into_iter().cycle() {
                // What goes wrong here shows in the checks; the answer is of no use.
                let _ = server.answer(path, &[], &[]);
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
