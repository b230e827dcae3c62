//! Every query of every panel returns data.

use std::time::Duration;

use super::service::{Datasource, Panel};
use super::{Cross, Run, Tick, loki, prometheus, tempo};
use crate::http::Fault;

/// A rate needs two scrapes, and the first may be a whole interval away.
const TWO_SCRAPES: Duration = Duration::from_secs(60);
/// The dashboard with the seeds' eight panels.
const FASTAPI: &str = "gatewayz-fastapi";
const INFERENCE: &str = "gatewayz-inference";
/// Nothing to show is right here as long as nothing is wrong, or nobody streams.
const MAY_BE_EMPTY: [&str; 7] = [
    "exceptions",
    "failed_calls",
    "delivery_lines",
    "provider_traces",
    "inference_first_token_p50",
    "inference_first_token_p95",
    "inference_first_token_p99",
];

/// The eight panels of the seeds and those beside them.
pub(super) fn display_data(run: &Run) -> Tick {
    let ours = |panel: &&Panel| panel.dashboard == FASTAPI;
    all_have_data(run, run.service()?.panels.iter().filter(ours).collect())
}

/// The panels of the other dashboards. Only the service's own tests call a model here: other calls may cost.
pub(super) fn others_display_data(run: &Run) -> Tick {
    let service = run.service()?;
    let is_fed = |panel: &&Panel| match panel.dashboard.as_str() {
        FASTAPI => false,
        INFERENCE => service.tests_itself,
        _ => true,
    };
    let tick = all_have_data(run, service.panels.iter().filter(is_fed).collect())?;
    if service.tests_itself {
        return Ok(tick);
    }
    Ok(format!(
        "{tick}; Inference is left out, because the service's own test did not run"
    ))
}

/// What can never be answered holds up none of the others.
fn all_have_data(run: &Run, mut waiting: Vec<&Panel>) -> Tick {
    let (mut full, count) = (0, waiting.len());
    let mut reasons: Vec<String> = Vec::new();
    let mut away: Vec<Datasource> = Vec::new();
    let wait = run.wait.at_most(TWO_SCRAPES);
    let outcome = wait.until("two scrapes, as rates need them", || {
        waiting.retain(|panel| {
            if away.contains(&panel.datasource) {
                return false;
            }
            match has_data(run, panel) {
                Ok(true) => {
                    full += 1;
                    false
                }
                Ok(false) => true,
                Err(fault) if fault.may_pass() => true,
                Err(Fault::Status { message, .. }) => {
                    reasons.push(format!("{} is refused ({message})", panel.query.key));
                    false
                }
                Err(fault) => {
                    away.push(panel.datasource);
                    reasons.push(fault.to_string());
                    false
                }
            }
        });
        let keys = waiting.iter().map(|panel| panel.query.key.as_str());
        let missing: Vec<_> = keys.filter(|key| !MAY_BE_EMPTY.contains(key)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Cross::new(format_args!("no data for {}", missing.join(", "))))
    });
    reasons.extend(outcome.err().map(|reason| reason.to_string()));
    if !reasons.is_empty() {
        return Err(Cross::new(format_args!(
            "{full} of {count} queries return data; {}",
            reasons.join("; ")
        )));
    }
    let empty: Vec<_> = waiting.iter().map(|panel| panel.query.key.as_str()).collect();
    if empty.is_empty() {
        return Ok(format!("{count} queries return data"));
    }
    Ok(format!(
        "{full} of {count} queries return data; nothing to show for {}",
        empty.join(", ")
    ))
}

fn has_data(run: &Run, panel: &Panel) -> Result<bool, Fault> {
    let text = &panel.query.text;
    match panel.datasource {
        Datasource::Loki => Ok(!loki::lines(&run.stack.loki, text)?.is_empty()),
        Datasource::Tempo => Ok(tempo::search(&run.stack.tempo, text)? > 0),
        Datasource::Prometheus => {
            let series = prometheus::query(&run.stack.prometheus, text)?;
            Ok(series.iter().any(|series| !series.value.is_nan()))
        }
    }
}
