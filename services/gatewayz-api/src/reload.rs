//! SIGHUP: reads the settings again and takes over what can change while the service runs.

use std::sync::Arc;

use actix_web::rt::signal::unix::Signal;
use actix_web::web;
use gatewayz_admin_auth::{DisabledReason, Guard};
use gatewayz_config::{Described, Mistakes, Values};
use gatewayz_inference::LoadError;

use crate::settings::{self, SCHEMA, Settings};
use crate::state::State;
use crate::wiring;

/// Why nothing was taken over. No message holds a value.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    /// What the start would not take either.
    #[error("{}", in_one_line(.0))]
    Settings(Mistakes),
    /// It would close the admin endpoints to the keys that work now.
    #[error("one of ADMIN_API_KEY, ADMIN_API_KEY_FILE and ADMIN_API_KEYS_SHA256 is a published key")]
    PublishedKey,
    /// The registry or the system has no room for it.
    #[error("CATALOG_FILE names a catalog that cannot be used: {0}")]
    Catalog(LoadError),
}

/// Reloads at each SIGHUP, for ever. Settings that cannot be used are told, and all of the present ones stay.
pub(crate) async fn on_hangup(mut hangups: Signal, state: Arc<State>, guard: Guard) {
    while hangups.recv().await.is_some() {
        let (state, guard) = (Arc::clone(&state), guard.clone());
        // Reading and checking are no work for the thread that watches over the server.
        let _ = web::block(move || reload(&state, &guard)).await;
    }
}

fn reload(state: &State, guard: &Guard) {
    let values = settings::load();
    for warning in values.warnings() {
        tracing::warn!("{warning}");
    }
    if let Err(error) = take_over(state, guard, &values) {
        tracing::error!("Everything stays as it was: {error}");
    }
}

fn take_over(state: &State, guard: &Guard, values: &Values) -> Result<(), ReloadError> {
    let settings = Settings::from_values(values).map_err(ReloadError::Settings)?;
    let admin_keys = &settings.admin.keys;
    if admin_keys.disabled() == Some(DisabledReason::PublishedKey) {
        return Err(ReloadError::PublishedKey);
    }
    let inference = &settings.inference;
    // The last step that can fail, and none follows: what is taken over is taken over whole.
    let catalog_waits = match (&state.gateway, &inference.catalog) {
        (Some(gateway), Some(catalog)) => {
            gateway.reload(catalog).map_err(ReloadError::Catalog)?;
            false
        }
        (Some(_), None) | (None, Some(_)) => true,
        (None, None) => false,
    };
    wiring::tell_standing(admin_keys);
    if state.gateway.is_some() {
        wiring::tell_openness(inference);
    }
    guard.replace_keys(admin_keys.clone());
    state.settings.inference.api_keys.replace(&inference.api_keys);
    state
        .metrics_token
        .store(settings.metrics.token.clone().map(Arc::new));

    let waits = |name: &str| {
        let reloaded = SCHEMA.find(name).is_some_and(|setting| setting.reloaded);
        !reloaded || (catalog_waits && name == "CATALOG_FILE")
    };
    let waiting = describe(state, values.describe(), waits);
    if !waiting.is_empty() {
        tracing::warn!("Changed, and used at the next start only: {}", waiting.join(", "));
    }
    tracing::info!(
        admin_keys = admin_keys.ids().count(),
        api_keys = inference.api_keys.len(),
        models = inference
            .catalog
            .as_ref()
            .map_or(0, |catalog| catalog.model_ids().count()),
        "The settings were read again"
    );
    Ok(())
}

/// Shows the new values from now on, except for those that wait for a restart, whose names it hands back.
fn describe(state: &State, next: Vec<Described>, waits: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut waiting = Vec::new();
    let present = state.described.load();
    let merge = |(old, new): (&Described, Described)| {
        if !waits(new.name) {
            return new;
        }
        if old.value != new.value {
            waiting.push(new.name);
        }
        old.clone()
    };
    let described = present.iter().zip(next).map(merge).collect();
    state.described.store(Arc::new(described));
    waiting
}

fn in_one_line(mistakes: &Mistakes) -> String {
    mistakes.to_string().replace('\n', "; ")
}
