//! Every query of every panel returns data.

use std::time::Duration;

use super::service::Query;
use super::{Cross, Run, Tick, loki, prometheus};
use crate::http::Fault;

/// A rate needs two scrapes, and the first may be a whole interval away.
const TWO_SCRAPES: Duration = Duration::from_secs(60);
/// Nothing to show is right here as long as nothing is wrong.
const MAY_BE_EMPTY: [&str; 1] = ["exceptions"];

/// The eight panels of the seeds and those beside them; what can never be answered holds up none of the others.
pub(super) fn display_data(run: &Run) -> Tick {
    let service = run.service()?;
    let count = service.panels.len();
    let mut waiting: Vec<&Query> = service.panels.iter().collect();
    let mut reasons: Vec<String> = Vec::new();
    let mut away: Vec<Language> = Vec::new();
    let wait = run.wait.at_most(TWO_SCRAPES);
    let outcome = wait.until("two scrapes, as rates need them", || {
        waiting.retain(|query| {
            let language = Language::of(query);
            if away.contains(&language) {
                return false;
            }
            match has_data(run, query) {
                Ok(has_data) => !has_data,
                Err(fault) if fault.may_pass() => true,
                Err(Fault::Status { message, .. }) => {
                    reasons.push(format!("{} is refused ({message})", query.key));
                    false
                }
                Err(fault) => {
                    away.push(language);
                    reasons.push(fault.to_string());
                    false
                }
            }
        });
        let needed = waiting
            .iter()
            .filter(|query| !MAY_BE_EMPTY.contains(&query.key.as_str()));
        let missing: Vec<_> = needed.map(|query| query.key.as_str()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Cross::new(format_args!("no data for {}", missing.join(", "))))
    });
    reasons.extend(outcome.err().map(|reason| reason.to_string()));
    if !reasons.is_empty() {
        return Err(Cross::new(reasons.join("; ")));
    }
    let empty: Vec<_> = waiting.iter().map(|query| query.key.as_str()).collect();
    if empty.is_empty() {
        return Ok(format!("{count} queries return data"));
    }
    let full = count - empty.len();
    Ok(format!(
        "{full} of {count} queries return data; nothing to show for {}",
        empty.join(", ")
    ))
}

/// Whose query it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    PromQl,
    LogQl,
}

impl Language {
    /// A log query begins with its selector; no metric query of the table does.
    fn of(query: &Query) -> Self {
        if query.text.starts_with('{') {
            Self::LogQl
        } else {
            Self::PromQl
        }
    }
}

fn has_data(run: &Run, query: &Query) -> Result<bool, Fault> {
    match Language::of(query) {
        Language::LogQl => Ok(!loki::lines(&run.stack.loki, &query.text)?.is_empty()),
        Language::PromQl => {
            let series = prometheus::query(&run.stack.prometheus, &query.text)?;
            Ok(series.iter().any(|series| !series.value.is_nan()))
        }
    }
}
