//! Loki: do structured lines arrive, and at once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::service::{Sample, Service, sample};
use super::{Cross, Run, Tick};
use crate::http::{Fault, Server};

const QUERY_RANGE: &str = "/loki/api/v1/query_range";
/// A batch, its delivery, and an agent in between.
const LINE: Duration = Duration::from_secs(10);
/// How far back is looked.
const RANGE: Duration = Duration::from_secs(3600);
/// Members that every line of a request has.
const KEYS: [&str; 9] = [
    "timestamp",
    "level",
    "service",
    "endpoint",
    "method",
    "status_code",
    "duration_ms",
    "trace_id",
    "message",
];
/// Queries that find nothing on a service without failures.
const MAY_BE_EMPTY: [&str; 2] = ["error_logs", "slow_requests"];

/// Lines are JSON with the members that a request leaves, and every query of the service finds some.
pub(super) fn ingests(run: &Run) -> Tick {
    let (loki, service) = (&run.stack.loki, run.service()?);
    let of_service = format!("{{service=\"{}\"}}", service.service_name);
    let wait = run.wait.at_most(LINE);
    let lines_of = |query: &str| {
        wait.until("lines in Loki", || {
            let missing = || Cross::new(format_args!("no lines for {query}{}", hint(run)));
            lines(loki, query)?.into_iter().next().ok_or_else(missing)
        })
    };
    members(&lines_of(&of_service)?)?;
    let of_request = members(&lines_of(&format!("{of_service} |= `\"status_code\"`"))?)?;
    let missing: Vec<_> = KEYS
        .into_iter()
        .filter(|key| !of_request.contains_key(*key))
        .collect();
    if !missing.is_empty() {
        return Err(Cross::new(format_args!(
            "the line of a request lacks {}",
            missing.join(", ")
        )));
    }
    wait.until("lines for each query", || {
        let mut empty = Vec::new();
        for query in &service.loki_queries {
            if lines(loki, &query.text)?.is_empty() && !MAY_BE_EMPTY.contains(&query.key.as_str()) {
                empty.push(query.key.as_str());
            }
        }
        if empty.is_empty() {
            return Ok(format!(
                "{} queries, JSON lines with all members",
                service.loki_queries.len()
            ));
        }
        Err(Cross::new(format_args!("no lines for {}", empty.join(", "))))
    })
}

fn members(line: &str) -> Result<Map<String, Value>, Cross> {
    serde_json::from_str(line).map_err(|_| Cross::new("the lines are not JSON objects; is LOG_FORMAT json?"))
}

/// The line of a request is there within seconds.
pub(super) fn streams(run: &Run) -> Tick {
    let service = run.service()?;
    let sample = sample(&run.stack.service)?;
    run.wait.at_most(LINE).until("the line of a request", || {
        line_of(run, service, &sample.trace_id).map(|_| {
            let seconds = sample.made_at.elapsed().as_secs_f32();
            format!("a line was there {seconds:.1} s after its request")
        })
    })
}

/// The line of one request.
pub(super) fn line_of(run: &Run, service: &Service, trace_id: &str) -> Result<String, Cross> {
    let query = format!(
        "{{service=\"{}\"}} | json | trace_id=\"{trace_id}\"",
        service.service_name
    );
    let found = lines(&run.stack.loki, &query)?.into_iter().next();
    found.ok_or_else(|| {
        Cross::new(format_args!(
            "no line with trace_id {trace_id} in Loki{}",
            hint(run)
        ))
    })
}

/// The same, waited for.
pub(super) fn wait_for_line(run: &Run, service: &Service, sample: &Sample) -> Result<String, Cross> {
    let wait = run.wait.at_most(LINE);
    wait.until("the line of a request", || {
        line_of(run, service, &sample.trace_id)
    })
}

/// The latest lines of a log query.
pub(super) fn lines(loki: &Server, query: &str) -> Result<Vec<String>, Fault> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // A service whose clock is a little ahead writes lines of the next seconds.
    let end = (now + LINE).as_nanos().to_string();
    let start = now.saturating_sub(RANGE).as_nanos().to_string();
    let parameters = [
        ("query", query),
        ("start", &start),
        ("end", &end),
        ("limit", "10"),
        ("direction", "backward"),
    ];
    let answer = loki.json(QUERY_RANGE, &parameters)?;
    let streams = answer.pointer("/data/result").and_then(Value::as_array);
    let streams = streams.ok_or_else(|| loki.foreign(QUERY_RANGE))?;
    let values = streams
        .iter()
        .filter_map(|stream| stream.get("values")?.as_array());
    let lines = values.flatten().filter_map(|value| value.get(1)?.as_str());
    Ok(lines.map(str::to_owned).collect())
}

/// What the service says about its own way into Loki; empty when that is no reason.
fn hint(run: &Run) -> String {
    super::health::hint(run, "loki", "stdout may still be shipped by an agent")
}
