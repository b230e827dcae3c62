//! Whether what the service says about itself is what is seen from outside.

use serde_json::Value;

use super::service::{SELF_TEST, sample};
use super::{Cross, Run, Tick, loki, tempo};

const HEALTH: &str = "/api/instrumentation/health";
const METRICS_HEALTH: &str = "/api/metrics/health";

/// Health is healthy, and each way out that it calls healthy delivers; the service's own test succeeds.
pub(super) fn is_true(run: &Run) -> Tick {
    let service = run.service()?;
    let server = &run.stack.service;
    let health = server.json(HEALTH, &[])?;
    let metrics_health = server.json(METRICS_HEALTH, &[])?;
    let mut reasons = Vec::new();
    for (path, told) in [(HEALTH, &health), (METRICS_HEALTH, &metrics_health)] {
        match told.get("status").and_then(Value::as_str) {
            Some("healthy") => {}
            Some(status) => reasons.push(format!("{path} says {status}: {}", degraded(told))),
            None => return Err(server.foreign(path).into()),
        }
    }
    let sample = sample(server)?;
    if state(&health, "loki") == Some("healthy")
        && let Err(reason) = loki::wait_for_line(run, service, &sample)
    {
        reasons.push(format!("it calls loki healthy, but {reason}"));
    }
    if state(&health, "tempo") == Some("healthy")
        && let Err(reason) = tempo::wait_for_spans(run, &sample)
    {
        reasons.push(format!("it calls tempo healthy, but {reason}"));
    }
    match self_test(run) {
        Ok(self_test) if reasons.is_empty() => return Ok(format!("healthy; {self_test}")),
        Ok(_) => {}
        Err(reason) => reasons.push(reason.to_string()),
    }
    Err(Cross::new(reasons.join("; ")))
}

/// What the service says about a way out, when that explains why nothing arrives; begins with a separator.
pub(super) fn hint(run: &Run, signal: &str, when_disabled: &str) -> String {
    let Ok(health) = run.stack.service.json(HEALTH, &[]) else {
        return String::new();
    };
    match state(&health, signal) {
        Some("disabled") => format!("; the service has {signal} disabled ({when_disabled})"),
        Some("healthy") | None => String::new(),
        Some(state) => format!("; the service says {signal} is {state}"),
    }
}

fn state<'a>(health: &'a Value, signal: &str) -> Option<&'a str> {
    health.get(signal)?.get("status")?.as_str()
}

/// Names what is not well.
fn degraded(health: &Value) -> String {
    let parts = health.get("components").unwrap_or(health).as_object();
    let named: Vec<String> = parts
        .into_iter()
        .flatten()
        .filter_map(|(name, part)| Some((name, part.get("status")?.as_str()?)))
        .filter(|(_, status)| status.starts_with("degraded"))
        .map(|(name, status)| format!("{name} is {status}"))
        .collect();
    if named.is_empty() {
        "no part is named".to_owned()
    } else {
        named.join(", ")
    }
}

/// One pass through the whole path, made and judged by the service.
fn self_test(run: &Run) -> Tick {
    let server = &run.stack.service;
    let answer = server.post(SELF_TEST, "")?;
    match answer.status {
        200 => {}
        401 | 403 | 503 if !server.has_credentials() => {
            return Ok("its own test is left out: no admin key".to_owned());
        }
        // Ten a minute, which a run after another may use up.
        429 => return Ok("its own test is left out: too many in this minute".to_owned()),
        _ => return Err(server.refused(SELF_TEST, &answer).into()),
    }
    let told: Value = serde_json::from_str(&answer.body).map_err(|_| server.foreign(SELF_TEST))?;
    let parts = told.get("verification").and_then(Value::as_object);
    let failed: Vec<String> = parts
        .into_iter()
        .flatten()
        .filter(|(_, part)| part.get("status").and_then(Value::as_str) == Some("failed"))
        .map(|(name, part)| {
            let error = part.get("error").and_then(Value::as_str);
            let message = part.get("message").and_then(Value::as_str);
            format!("{name}: {}", error.or(message).unwrap_or("no reason given"))
        })
        .collect();
    if !failed.is_empty() {
        return Err(Cross::new(format_args!(
            "the service's own test failed: {}",
            failed.join(", ")
        )));
    }
    Ok("its own test succeeds".to_owned())
}
