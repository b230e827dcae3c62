//! Tempo: do traces arrive, by id at once and by search after its cut-off.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::service::{Sample, sample};
use super::{Cross, Run, Tick};
use crate::http::{Fault, Server};

const SEARCH: &str = "/api/search";
/// A batch of spans and its delivery; Tempo itself knows a trace by id at once.
const BY_ID: Duration = Duration::from_secs(15);
/// Tempo 3 leaves the last 30 s out of a search.
const BY_SEARCH: Duration = Duration::from_secs(60);
/// How far back is looked.
const RANGE: Duration = Duration::from_secs(3600);
/// Queries that find nothing on a service without failures.
const MAY_BE_EMPTY: [&str; 2] = ["slow_traces", "error_traces"];

/// A trace is found by its id, and each query of the service is understood and finds traces.
pub(super) fn receives(run: &Run) -> Tick {
    let (tempo, service) = (&run.stack.tempo, run.service()?);
    let sample = sample(&run.stack.service)?;
    wait_for_spans(run, &sample)?;
    let seconds = sample.made_at.elapsed().as_secs_f32();
    run.wait
        .at_most(BY_SEARCH)
        .until("traces in searches (Tempo needs about 30 s)", || {
            let mut empty = Vec::new();
            for query in &service.tempo_queries {
                if search(tempo, &query.text)? == 0 && !MAY_BE_EMPTY.contains(&query.key.as_str()) {
                    empty.push(query.key.as_str());
                }
            }
            if empty.is_empty() {
                return Ok(format!(
                    "a trace was there by id after {seconds:.1} s, and {} searches",
                    service.tempo_queries.len()
                ));
            }
            let reason = "a trace is there by id, but searches find nothing for";
            Err(Cross::new(format_args!("{reason} {}", empty.join(", "))))
        })
}

/// The span ids of one request's trace in hexadecimal digits, waited for.
pub(super) fn wait_for_spans(run: &Run, sample: &Sample) -> Result<Vec<String>, Cross> {
    let id = &sample.trace_id;
    run.wait.at_most(BY_ID).until("the trace of a request", || {
        let spans = spans(&run.stack.tempo, id)?;
        if spans.is_empty() {
            let hint = super::health::hint(run, "tempo", "is an OTLP endpoint set?");
            return Err(Cross::new(format_args!("no trace {id} in Tempo{hint}")));
        }
        Ok(spans)
    })
}

/// Span ids of a trace; none when Tempo does not know it.
fn spans(tempo: &Server, trace_id: &str) -> Result<Vec<String>, Fault> {
    let path = format!("/api/traces/{trace_id}");
    let answer = tempo.answer(&path, &[], &[("Accept", "application/json")])?;
    match answer.status {
        200 => {}
        404 => return Ok(Vec::new()),
        _ => return Err(tempo.refused(&path, &answer)),
    }
    let trace: Value = serde_json::from_str(&answer.body).map_err(|_| tempo.foreign(&path))?;
    let mut ids = Vec::new();
    collect_span_ids(&trace, &mut ids);
    Ok(ids)
}

/// Versions differ in how spans are nested, not in how a span names itself.
fn collect_span_ids(value: &Value, ids: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(id) = members.get("spanId").and_then(Value::as_str) {
                ids.push(hexadecimal(id));
            }
            for member in members.values() {
                collect_span_ids(member, ids);
            }
        }
        Value::Array(items) => {
            for item in items {
                collect_span_ids(item, ids);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Ids are base64 in answers of Tempo, hexadecimal in some others.
fn hexadecimal(id: &str) -> String {
    match STANDARD.decode(id) {
        Ok(bytes) if bytes.len() == 8 => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        _ => id.to_ascii_lowercase(),
    }
}

/// How many traces a search finds, at most 5.
pub(super) fn search(tempo: &Server, query: &str) -> Result<usize, Fault> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let start = now.saturating_sub(RANGE).as_secs().to_string();
    let end = (now.as_secs() + 1).to_string();
    let answer = tempo.json(
        SEARCH,
        &[("q", query), ("start", &start), ("end", &end), ("limit", "5")],
    )?;
    // Tempo leaves the list out when it is empty.
    match answer.get("traces") {
        None | Some(Value::Null) if answer.is_object() => Ok(0),
        Some(Value::Array(traces)) => Ok(traces.len()),
        _ => Err(tempo.foreign(SEARCH)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn span_ids_are_found_however_they_are_nested_and_written() {
        let trace = json!({ "batches": [{ "scopeSpans": [{ "spans": [
            { "spanId": "APBnqgupArc=", "name": "GET /" }, { "spanId": "00F067AA0BA902B8" },
        ] }] }] });

        let mut ids = Vec::new();
        collect_span_ids(&trace, &mut ids);

        assert_eq!(ids, ["00f067aa0ba902b7", "00f067aa0ba902b8"]);
    }
}
