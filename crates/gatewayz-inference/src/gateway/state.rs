//! How the providers do: for a health endpoint, for the gauges of the page, and the probes behind both.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use gatewayz_metrics::Samples;
use rand::Rng;
use tokio::task::JoinSet;

use super::{Gateway, Shared};
use crate::SELF_TEST;
use crate::metrics::{AVAILABILITY, BREAKER_OPEN, CACHE_SIZE, ERROR_RATE};
use crate::provider::Backend;
use crate::routing::{Provider, Routing};

const PROBE_PAUSE_SECONDS: std::ops::Range<f64> = 15.0..30.0;

/// How one provider does.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderHealth {
    /// Its name in the catalog.
    pub name: Arc<str>,
    /// Whether calls reach it.
    pub is_available: bool,
    /// Share of its attempts in the last minute that failed, 0 to 1.
    pub error_rate: f64,
    /// Whether the last probe went well; `None` before the first, and where nothing is probed.
    pub last_probe: Option<bool>,
    /// Models whose calls are kept away from it.
    pub open_breakers: Vec<Arc<str>>,
}

impl Gateway {
    /// How the providers do, in the order of the catalog.
    #[must_use]
    pub fn health(&self) -> Vec<ProviderHealth> {
        let (routing, now) = (self.shared.routing.load(), Instant::now());
        let providers = routing.providers.iter();
        providers
            .map(|provider| health(&routing, provider, now))
            .collect()
    }

    /// Asks each provider for its list of models, which costs nothing, now and again every 15 to 30 seconds. Never
    /// ends: spawn it once, and drop it at shutdown.
    pub async fn probe(self) {
        loop {
            self.probe_once().await;
            let pause = rand::rng().random_range(PROBE_PAUSE_SECONDS);
            tokio::time::sleep(Duration::from_secs_f64(pause)).await;
        }
    }

    /// One round of [`probe`](Self::probe).
    pub async fn probe_once(&self) {
        let mut probes = JoinSet::new();
        for provider in &self.shared.routing.load().providers {
            if provider.probe {
                probes.spawn(probe(Arc::clone(provider)));
            }
        }
        while probes.join_next().await.is_some() {}
    }
}

async fn probe(provider: Arc<Provider>) {
    let Backend::OpenAi(backend) = &provider.backend else {
        return;
    };
    let is_good = backend.probe(provider.timeouts.connect).await;
    let was_good = provider.health.last_probe();
    provider.health.probed(is_good);
    if was_good.unwrap_or(true) != is_good {
        let name = &*provider.name;
        if is_good {
            tracing::info!(provider = name, "Provider {name} answers probes again");
        } else {
            tracing::warn!(provider = name, "Provider {name} does not answer probes");
        }
    }
}

fn health(routing: &Routing, provider: &Provider, now: Instant) -> ProviderHealth {
    let mut open_breakers = Vec::new();
    let mut models = 0;
    for model in routing.models.values() {
        for candidate in model
            .candidates
            .iter()
            .filter(|candidate| candidate.provider.name == provider.name)
        {
            models += 1;
            if !candidate.breaker.lets_through(now) {
                open_breakers.push(Arc::clone(&model.id));
            }
        }
    }
    let is_cut_off = models > 0 && open_breakers.len() == models;
    ProviderHealth {
        name: Arc::clone(&provider.name),
        is_available: provider.is_available(now) && !is_cut_off,
        error_rate: provider.health.error_rate(now),
        last_probe: provider.health.last_probe(),
        open_breakers,
    }
}

/// Writes the gauges of the page. The gateway may be gone by then.
pub(super) fn collect(shared: &Weak<Shared>, samples: &mut Samples<'_>) {
    let Some(shared) = shared.upgrade() else { return };
    let (routing, now) = (shared.routing.load(), Instant::now());
    let self_test = routing
        .self_test
        .candidates
        .first()
        .map(|candidate| &candidate.provider);
    for provider in routing.providers.iter().chain(self_test) {
        let health = health(&routing, provider, now);
        let labels: &[&str] = &[&health.name];
        samples.gauge(&AVAILABILITY, labels, f64::from(u8::from(health.is_available)));
        samples.gauge(&ERROR_RATE, labels, health.error_rate);
    }
    for model in routing.models.values().chain([&routing.self_test]) {
        for candidate in &model.candidates {
            let breakers = [&candidate.breaker, &candidate.provider.connect_breaker];
            let is_kept_away = breakers.iter().any(|breaker| !breaker.lets_through(now));
            let labels: &[&str] = &[&candidate.provider.name, &model.id];
            samples.gauge(&BREAKER_OPEN, labels, f64::from(u8::from(is_kept_away)));
        }
    }
    for (cache, name) in [
        (&shared.cache, super::RESPONSES),
        (&shared.self_test_cache, SELF_TEST),
    ] {
        samples.gauge(&CACHE_SIZE, &[name], cache.size_bytes() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::testing::routing_to;

    #[test]
    fn a_provider_that_calls_may_try_again_is_available() {
        let routing = routing_to("http://127.0.0.1:9/v1", 0.1);
        let (provider, candidate) = (&routing.providers[0], &routing.models["m"].candidates[0]);
        let now = Instant::now();
        for breaker in [&candidate.breaker, &provider.connect_breaker] {
            for _ in 0..5 {
                breaker.permit(now).unwrap().failed(now);
            }
            let later = now + Duration::from_secs(30);

            assert!(!health(&routing, provider, now).is_available);
            assert!(health(&routing, provider, later).is_available);
            breaker.permit(later).unwrap().succeeded(later);
        }
    }
}
