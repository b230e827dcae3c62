//! SIGHUP: reads the catalog again.

use std::sync::Arc;

use actix_web::rt::signal::unix::{SignalKind, signal};
use actix_web::web;

use crate::settings::load_catalog;
use crate::state::State;

/// Reloads at each SIGHUP, for ever. A catalog that cannot be used is told, and the present one stays.
pub(crate) async fn on_hangup(state: Arc<State>) {
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => {
            tracing::error!(%error, "SIGHUP cannot be watched for: the catalog stays as it is");
            return;
        }
    };
    while hangups.recv().await.is_some() {
        let state = Arc::clone(&state);
        // Reading and checking are no work for the thread that watches over the server.
        let _ = web::block(move || reload(&state)).await;
    }
}

fn reload(state: &State) {
    let (Some(path), Some(gateway)) = (&state.settings.inference.catalog_file, &state.gateway) else {
        tracing::warn!("SIGHUP changes nothing: there is no CATALOG_FILE");
        return;
    };
    match load_catalog(path) {
        Ok(catalog) => match gateway.reload(&catalog) {
            Ok(()) => tracing::info!(models = catalog.model_ids().count(), "The catalog was read again"),
            Err(error) => tracing::error!(%error, "The catalog stays as it was"),
        },
        Err(error) => tracing::error!(%error, "The catalog stays as it was: the file {error}"),
    }
}
