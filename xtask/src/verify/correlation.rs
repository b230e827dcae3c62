//! One request, found by the same trace id as an exemplar, as a line and as a trace.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::service::{Sample, sample};
use super::{Cross, Run, Tick, loki, tempo};
use crate::http::Server;

const EXEMPLARS: &str = "/api/v1/query_exemplars";
/// Two scrapes: the first may take the exemplar of somebody else's request.
const SCRAPED: Duration = Duration::from_secs(40);
/// A request takes the place of the exemplar before it, so that there is a young one at each scrape.
const AGAIN: Duration = Duration::from_secs(5);
/// How far back is looked.
const RANGE: Duration = Duration::from_secs(300);

pub(super) fn agrees(run: &Run) -> Tick {
    let service = run.service()?;
    let mut samples = vec![sample(&run.stack.service)?];
    let exemplar = find_exemplar(run, &service.app_name, &mut samples);
    let found = *exemplar.as_ref().unwrap_or(&0);
    let Some(sample) = samples.get(found) else {
        return Err(Cross::new("no request was made"));
    };
    let line = loki::wait_for_line(run, service, sample);
    let spans = tempo::wait_for_spans(run, sample);
    let mut reasons: Vec<String> = Vec::new();
    reasons.extend(exemplar.err().map(|reason| reason.to_string()));
    reasons.extend(line.as_ref().err().map(ToString::to_string));
    reasons.extend(spans.as_ref().err().map(ToString::to_string));
    if let (Ok(line), Ok(spans)) = (&line, &spans) {
        reasons.extend(disagreement(line, spans));
    }
    if !reasons.is_empty() {
        return Err(Cross::new(reasons.join("; ")));
    }
    Ok(format!(
        "exemplar, line and trace of one request share {}",
        sample.trace_id
    ))
}

/// Index of the request that Prometheus has an exemplar of.
fn find_exemplar(run: &Run, app_name: &str, samples: &mut Vec<Sample>) -> Result<usize, Cross> {
    let query = format!("fastapi_requests_duration_seconds_bucket{{app_name=\"{app_name}\"}}");
    let mut latest = Instant::now();
    run.wait.at_most(SCRAPED).until("an exemplar in Prometheus", || {
        let exemplars = exemplars(&run.stack.prometheus, &query)?;
        let known = |sample: &Sample| exemplars.contains(&sample.trace_id);
        if let Some(found) = samples.iter().position(known) {
            return Ok(found);
        }
        if latest.elapsed() >= AGAIN {
            samples.push(sample(&run.stack.service)?);
            latest = Instant::now();
        }
        Err(Cross::new(match exemplars.len() {
            0 => {
                "Prometheus has no exemplars; does it run with --enable-feature=exemplar-storage?".to_owned()
            }
            count => format!(
                "none of {count} exemplars in Prometheus is of our {} requests",
                samples.len()
            ),
        }))
    })
}

/// Trace ids of the exemplars of the last minutes.
fn exemplars(prometheus: &Server, query: &str) -> Result<Vec<String>, Cross> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let start = now.saturating_sub(RANGE).as_secs().to_string();
    let end = (now.as_secs() + 10).to_string();
    let answer = prometheus.json(EXEMPLARS, &[("query", query), ("start", &start), ("end", &end)])?;
    let series = answer.get("data").and_then(Value::as_array);
    let series = series.ok_or_else(|| prometheus.foreign(EXEMPLARS))?;
    let exemplars = series
        .iter()
        .filter_map(|series| series.get("exemplars")?.as_array())
        .flatten();
    let ids = exemplars.filter_map(|exemplar| exemplar.pointer("/labels/trace_id")?.as_str());
    Ok(ids.map(str::to_owned).collect())
}

/// Why a line and a trace are not of the same request.
fn disagreement(line: &str, spans: &[String]) -> Option<String> {
    let Ok(line) = serde_json::from_str::<Value>(line) else {
        return Some("the line is not JSON".to_owned());
    };
    let span_id = line.get("span_id").and_then(Value::as_str);
    match span_id {
        None => Some("the line has no span_id".to_owned()),
        Some(id) if spans.iter().any(|span| span == id) => None,
        Some(id) => Some(format!("the trace has no span {id}, which the line names")),
    }
}
