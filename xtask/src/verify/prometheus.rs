//! Prometheus: is the service scraped, and how often.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde_json::Value;

use super::{Cross, Run, Tick};
use crate::http::{Fault, Server};

const QUERY: &str = "/api/v1/query";
const TARGETS: &str = "/api/v1/targets";
/// The seeds' job.
const JOB: &str = "fastapi_backend";
/// What the seeds promise.
const INTERVAL_MAX: SignedDuration = SignedDuration::from_secs(15);
/// The first scrape may be a whole interval away.
const SCRAPED: Duration = Duration::from_secs(60);
/// One interval of 15 s, the scrape, and the delay of looking.
const UPDATE: Duration = Duration::from_secs(20);

/// One series of an instant query.
#[derive(Debug)]
pub(super) struct Series {
    labels: Value,
    /// Not a number where there is none.
    pub(super) value: f64,
}

/// A target is up and its metrics are the service's.
pub(super) fn scrapes(run: &Run) -> Tick {
    let (prometheus, service) = (&run.stack.prometheus, run.service()?);
    run.wait.at_most(SCRAPED).until("a scrape of the service", || {
        let target = service_target(prometheus, &service.app_name)?;
        match text(&target, "health") {
            "up" => Ok(format!("{} is up", text(&target, "scrapeUrl"))),
            health => Err(Cross::new(format_args!(
                "the target is {health}: {}",
                text(&target, "lastError")
            ))),
        }
    })
}

/// The target that scrapes the service.
fn service_target(prometheus: &Server, app_name: &str) -> Result<Value, Cross> {
    let info = format!("fastapi_app_info{{app_name=\"{app_name}\"}}");
    let targets = targets(prometheus)?;
    let series = query(prometheus, &info)?;
    let target = series
        .iter()
        .find_map(|series| target_of(&targets, &series.labels));
    target.cloned().ok_or_else(|| missing(&targets, &info))
}

/// The interval is 15 s at most, and a counter moves within it.
pub(super) fn updates(run: &Run) -> Tick {
    let (prometheus, service) = (&run.stack.prometheus, run.service()?);
    let target = service_target(prometheus, &service.app_name)?;
    let interval = text(&target, "scrapeInterval");
    let parsed = interval.parse::<SignedDuration>();
    if parsed.is_ok_and(|interval| interval > INTERVAL_MAX) {
        return Err(Cross::new(format_args!(
            "the target is scraped every {interval}, not every 15s"
        )));
    }
    let total = format!("sum(fastapi_requests_total{{app_name=\"{}\"}})", service.app_name);
    let read = || -> Result<Option<f64>, Fault> {
        Ok(query(prometheus, &total)?.first().map(|series| series.value))
    };
    let first = read()?;
    let started = Instant::now();
    run.wait
        .at_most(UPDATE)
        .until("the next scrape", || match read()? {
            now if now.is_some() && now != first => Ok(format!(
                "requests were made, and the total moved after {} s; scraped every {interval}",
                started.elapsed().as_secs()
            )),
            Some(_) => Err(Cross::new(
                "requests are made, but fastapi_requests_total does not move",
            )),
            None => Err(Cross::new(format_args!("{total} has no data"))),
        })
}

/// The series of an instant query.
///
/// # Errors
/// When Prometheus does not answer or refuses the query.
pub(super) fn query(prometheus: &Server, expression: &str) -> Result<Vec<Series>, Fault> {
    let answer = prometheus.json(QUERY, &[("query", expression)])?;
    let result = answer.pointer("/data/result").and_then(Value::as_array);
    let series = |series: &Value| Series {
        labels: series.get("metric").cloned().unwrap_or_default(),
        value: series
            .pointer("/value/1")
            .and_then(Value::as_str)
            .and_then(|value| value.parse().ok())
            .unwrap_or(f64::NAN),
    };
    Ok(result
        .ok_or_else(|| prometheus.foreign(QUERY))?
        .iter()
        .map(series)
        .collect())
}

fn targets(prometheus: &Server) -> Result<Vec<Value>, Fault> {
    let mut answer = prometheus.json(TARGETS, &[("state", "active")])?;
    let targets = answer.pointer_mut("/data/activeTargets").map(Value::take);
    match targets {
        Some(Value::Array(targets)) => Ok(targets),
        _ => Err(prometheus.foreign(TARGETS)),
    }
}

/// The target that a series comes from.
fn target_of<'a>(targets: &'a [Value], labels: &Value) -> Option<&'a Value> {
    targets.iter().find(|target| {
        ["job", "instance"].iter().all(|name| {
            let label = target.get("labels").and_then(|labels| labels.get(name));
            label == labels.get(name)
        })
    })
}

/// Why there is no series of the service.
fn missing(targets: &[Value], info: &str) -> Cross {
    let is_ours = |target: &&Value| target.pointer("/labels/job").and_then(Value::as_str) == Some(JOB);
    let Some(target) = targets.iter().find(is_ours) else {
        let count = targets.len();
        return Cross::new(match count {
            0 => "Prometheus has no targets at all; is prom.yml loaded?".to_owned(),
            _ => format!("none of its {count} targets is job {JOB}, and {info} has no data"),
        });
    };
    match text(target, "health") {
        "up" => Cross::new(format_args!(
            "job {JOB} is up, but {info} has no data: it scrapes something else"
        )),
        health => Cross::new(format_args!(
            "{} is {health}: {}",
            text(target, "scrapeUrl"),
            text(target, "lastError")
        )),
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
