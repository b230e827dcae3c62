//! `/api/instrumentation/log-level`: which events become lines, changed while the service runs.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::rt::task::JoinHandle;
use actix_web::rt::{spawn, time};
use actix_web::web::Data;
use gatewayz_admin_auth::AdminIdentity;
use gatewayz_logging::Levels;
use serde::Deserialize;
use serde_json::{Value, json};

use super::instrumentation::answer;
use crate::json::Json;
use crate::problem::Problem;
use crate::settings;
use crate::state::State;

const TTL_MAX_SECONDS: u32 = 86_400;

/// The time limit of the present change. One for the process, like the subscriber that it is about.
static LIMIT: Mutex<Option<Limit>> = Mutex::new(None);

struct Limit {
    ends: Instant,
    task: JoinHandle<()>,
}

/// Body of a change.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// `debug`, or a list such as `warn,gatewayz_api=debug`.
    levels: String,
    /// After so many seconds the configured levels are back; without it the change stays.
    ttl_seconds: Option<u32>,
}

/// JSON schema of [`Change`].
#[must_use]
pub fn body_schema() -> Value {
    json!({
        "type": "object",
        "required": ["levels"],
        "additionalProperties": false,
        "properties": {
            "levels": {
                "type": "string",
                "maxLength": 1024,
                "description": "off, error, warn, info, debug or trace, or a list of it and of target=level.",
                "examples": ["debug", "warn,gatewayz_api=debug"],
            },
            "ttl_seconds": {
                "type": "integer",
                "minimum": 1,
                "maximum": TTL_MAX_SECONDS,
                "description": "After so many seconds the configured levels are back; without it the change stays.",
            },
        },
    })
}

/// The levels in force and the configured ones.
pub async fn read(_admin: AdminIdentity, state: Data<State>) -> HttpResponse {
    present(&state, limit().as_ref())
}

/// Puts other levels in force, replacing an earlier change and its time limit.
///
/// # Errors
/// 400 for levels that cannot be read and a time out of range.
pub async fn set(
    admin: AdminIdentity,
    state: Data<State>,
    Json(change): Json<Change>,
) -> Result<HttpResponse, Problem> {
    let Change { levels, ttl_seconds } = change;
    let levels = parsed(&levels).ok_or(Problem::new(
        StatusCode::BAD_REQUEST,
        "levels is a level (off, error, warn, info, debug, trace) or a list such as warn,gatewayz_api=debug.",
    ))?;
    if ttl_seconds.is_some_and(|seconds| !(1..=TTL_MAX_SECONDS).contains(&seconds)) {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "ttl_seconds is between 1 and 86400.",
        ));
    }
    let mut limit = limit();
    tracing::info!(
        target: "gatewayz::audit",
        event = "log_levels_changed",
        key_id = %admin.key_id,
        levels = levels.as_str(),
        ttl_seconds,
        "Log levels changed"
    );
    let number = state.telemetry.levels().set(levels);
    let next = ttl_seconds.map(|seconds| {
        let ttl = Duration::from_secs(seconds.into());
        let handle = state.telemetry.levels().clone();
        let task = spawn(async move {
            time::sleep(ttl).await;
            handle.reset_if(number);
        });
        Limit {
            ends: Instant::now() + ttl,
            task,
        }
    });
    replace(&mut limit, next);
    Ok(present(&state, limit.as_ref()))
}

/// Goes back to the configured levels.
pub async fn reset(admin: AdminIdentity, state: Data<State>) -> HttpResponse {
    let mut limit = limit();
    state.telemetry.levels().reset();
    replace(&mut limit, None);
    tracing::info!(
        target: "gatewayz::audit",
        event = "log_levels_changed",
        key_id = %admin.key_id,
        levels = state.telemetry.levels().configured().as_str(),
        "Log levels reset"
    );
    present(&state, None)
}

/// What `LOG_LEVEL` would make of the text.
fn parsed(text: &str) -> Option<Levels> {
    let entries: Vec<String> = text.split(',').map(|entry| entry.trim().to_owned()).collect();
    settings::log_filter(&entries).ok()?.parse().ok()
}

fn present(state: &State, limit: Option<&Limit>) -> HttpResponse {
    let levels = state.telemetry.levels();
    let running = limit.filter(|limit| !limit.task.is_finished());
    let remaining = running.map(|limit| limit.ends.saturating_duration_since(Instant::now()));
    // Rounded up, so that a limit in force is never shown as 0.
    let remaining_seconds = remaining.map(|remaining| remaining.as_secs_f64().ceil());
    answer(&json!({
        "levels": levels.current().as_str(),
        "configured": levels.configured().as_str(),
        "ttl_remaining_seconds": remaining_seconds.map(|seconds| seconds as u64),
    }))
}

fn limit() -> MutexGuard<'static, Option<Limit>> {
    LIMIT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn replace(limit: &mut Option<Limit>, next: Option<Limit>) {
    if let Some(earlier) = std::mem::replace(limit, next) {
        // Its change is no longer the last one, so it would only wait for nothing.
        earlier.task.abort();
    }
}
