//! A loaded catalog: providers with their state, and models with handles that calls use without looking anything up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gatewayz_metrics::{Histogram, Registry, SeriesError};
use rand::Rng;
use serde_json::json;

use crate::breaker::Breaker;
use crate::catalog::{
    CachePolicy, CandidateEntry, Catalog, ModelEntry, Operation, ProviderEntry, ProviderKind, SELF_TEST,
    Timeouts,
};
use crate::health::Health;
use crate::metrics::{CacheMetrics, CandidateMetrics, RESPONSE_TIME};
use crate::pricing::Prices;
use crate::provider::Backend;
use crate::provider::openai::OpenAi;

/// What calls need of a catalog. Replaced as a whole; calls under way keep theirs.
#[derive(Debug)]
pub(crate) struct Routing {
    pub(crate) providers: Vec<Arc<Provider>>,
    pub(crate) models: BTreeMap<Arc<str>, Arc<Model>>,
    /// Not among the models: no client can call it.
    pub(crate) self_test: Arc<Model>,
    /// The answer of `GET /v1/models`.
    pub(crate) list: Bytes,
}

/// One provider and how it does.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) name: Arc<str>,
    pub(crate) backend: Backend,
    pub(crate) timeouts: Timeouts,
    pub(crate) probe: bool,
    /// For connections only: a failing model must not take the others of its provider away.
    pub(crate) connect_breaker: Arc<Breaker>,
    /// Shared with what this provider becomes when the catalog is loaded again.
    pub(crate) health: Arc<Health>,
    pub(crate) response_time: Histogram,
}

/// One model and where it can be called.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) id: Arc<str>,
    pub(crate) operation: Operation,
    pub(crate) cache: Option<CachePolicy>,
    /// Who answers: a cached answer of others is none of this model's.
    pub(crate) places: String,
    /// By order, then as in the file; never empty.
    pub(crate) candidates: Vec<Arc<Candidate>>,
}

/// One model at one provider.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) provider: Arc<Provider>,
    pub(crate) upstream_model: Arc<str>,
    /// `chat gpt-4o`, after OpenTelemetry's GenAI conventions.
    pub(crate) span_name: Box<str>,
    pub(crate) prices: Prices,
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) metrics: Arc<CandidateMetrics>,
    order: u32,
    weight: u32,
}

/// Handles of the two caches.
#[derive(Debug, Clone)]
pub(crate) struct CacheHandles {
    pub(crate) responses: Arc<CacheMetrics>,
    pub(crate) self_test: Arc<CacheMetrics>,
}

impl Routing {
    /// Prepares a catalog. Providers and models that were there before keep their breakers and their health.
    pub(crate) fn load(
        catalog: &Catalog,
        previous: Option<&Self>,
        registry: &Registry,
        caches: &CacheHandles,
    ) -> Result<Self, SeriesError> {
        let providers = catalog
            .providers
            .iter()
            .map(|entry| Provider::load(entry, previous, registry))
            .collect::<Result<Vec<_>, _>>()?;
        let mut models = BTreeMap::new();
        for entry in &catalog.models {
            let before = previous.and_then(|previous| previous.models.get(&entry.id));
            let model = Model::load(entry, &providers, before, registry, &caches.responses)?;
            models.insert(Arc::clone(&entry.id), Arc::new(model));
        }
        let self_test = match previous {
            Some(previous) => Arc::clone(&previous.self_test),
            None => Arc::new(self_test(registry, caches)?),
        };
        let list: Vec<_> = models.values().map(|model| model.description()).collect();
        Ok(Self {
            providers,
            models,
            self_test,
            list: json!({"object": "list", "data": list}).to_string().into(),
        })
    }
}

impl Provider {
    fn load(
        entry: &ProviderEntry,
        previous: Option<&Routing>,
        registry: &Registry,
    ) -> Result<Arc<Self>, SeriesError> {
        let (backend, probe) = match &entry.kind {
            ProviderKind::Echo => (Backend::Echo, false),
            ProviderKind::OpenAi {
                base_url,
                api_key,
                probe,
            } => (
                Backend::OpenAi(Box::new(OpenAi::new(base_url, api_key.clone()))),
                *probe,
            ),
        };
        let before = previous.and_then(|previous| {
            let mut providers = previous.providers.iter();
            providers.find(|provider| provider.name == entry.name && provider.backend.is_same_place(&backend))
        });
        let (connect_breaker, health) = match before {
            Some(before) => (Arc::clone(&before.connect_breaker), Arc::clone(&before.health)),
            None => (Arc::default(), Arc::new(Health::new(Instant::now()))),
        };
        Ok(Arc::new(Self {
            name: Arc::clone(&entry.name),
            backend,
            timeouts: entry.timeouts,
            probe,
            connect_breaker,
            health,
            response_time: registry.histogram(&RESPONSE_TIME, &[&entry.name])?,
        }))
    }

    /// Whether calls reach it: connections work, and the last probe went well if there was one.
    pub(crate) fn is_available(&self, now: Instant) -> bool {
        self.connect_breaker.lets_through(now) && self.health.last_probe() != Some(false)
    }
}

impl Model {
    fn load(
        entry: &ModelEntry,
        providers: &[Arc<Provider>],
        before: Option<&Arc<Self>>,
        registry: &Registry,
        cache: &Arc<CacheMetrics>,
    ) -> Result<Self, SeriesError> {
        let mut candidates = Vec::with_capacity(entry.candidates.len());
        for candidate in &entry.candidates {
            // The catalog has checked the position.
            let Some(provider) = providers.get(candidate.provider) else {
                continue;
            };
            let before = before.and_then(|before| {
                let mut candidates = before.candidates.iter();
                candidates.find(|before| before.is_same(provider, candidate))
            });
            candidates.push(Arc::new(Candidate {
                provider: Arc::clone(provider),
                upstream_model: Arc::clone(&candidate.model),
                span_name: format!("{} {}", entry.operation.as_str(), candidate.model).into(),
                prices: candidate.prices,
                breaker: before.map_or_else(Arc::default, |before| Arc::clone(&before.breaker)),
                metrics: Arc::new(CandidateMetrics::new(registry, &provider.name, &entry.id, cache)?),
                order: candidate.order,
                weight: candidate.weight,
            }));
        }
        candidates.sort_by_key(|candidate| candidate.order);
        let places: Vec<_> = candidates
            .iter()
            .map(|candidate| {
                let provider = &candidate.provider;
                let url = provider.backend.url();
                format!("{}\0{url}\0{}", provider.name, candidate.upstream_model)
            })
            .collect();
        Ok(Self {
            places: places.join("\0"),
            id: Arc::clone(&entry.id),
            operation: entry.operation,
            cache: entry.cache,
            candidates,
        })
    }

    /// The candidates in the order in which this call tries them: by order, drawn by weight among equals.
    pub(crate) fn draw(&self) -> Vec<&Arc<Candidate>> {
        let mut drawn: Vec<_> = self.candidates.iter().collect();
        if drawn.len() == 1 {
            return drawn;
        }
        let mut random = rand::rng();
        for group in drawn.chunk_by_mut(|one, other| one.order == other.order) {
            for first in 0..group.len().saturating_sub(1) {
                let rest = group.get(first..).unwrap_or_default();
                let total: u64 = rest.iter().map(|candidate| u64::from(candidate.weight)).sum();
                let mut ticket = random.random_range(0..total.max(1));
                let chosen = rest.iter().position(|candidate| {
                    let weight = u64::from(candidate.weight);
                    let is_chosen = ticket < weight;
                    ticket = ticket.saturating_sub(weight);
                    is_chosen
                });
                group.swap(first, first + chosen.unwrap_or(0));
            }
        }
        drawn
    }

    /// The answer of `GET /v1/models/{id}`.
    pub(crate) fn description(&self) -> serde_json::Value {
        let owner = self
            .candidates
            .first()
            .map_or("", |candidate| &*candidate.provider.name);
        json!({"id": &*self.id, "object": "model", "created": 0, "owned_by": owner})
    }
}

impl Candidate {
    fn is_same(&self, provider: &Provider, entry: &CandidateEntry) -> bool {
        self.provider.name == provider.name
            && self.upstream_model == entry.model
            && self.provider.backend.is_same_place(&provider.backend)
    }
}

/// Provider, model and cache of the gateway's test of itself.
fn self_test(registry: &Registry, caches: &CacheHandles) -> Result<Model, SeriesError> {
    let name: Arc<str> = SELF_TEST.into();
    let provider = Arc::new(Provider {
        name: Arc::clone(&name),
        backend: Backend::Echo,
        timeouts: Timeouts::default(),
        probe: false,
        connect_breaker: Arc::default(),
        health: Arc::new(Health::new(Instant::now())),
        response_time: registry.histogram(&RESPONSE_TIME, &[SELF_TEST])?,
    });
    let entry = ModelEntry {
        id: name,
        operation: Operation::Chat,
        cache: Some(CachePolicy {
            ttl: Duration::from_secs(60),
            always: true,
        }),
        candidates: vec![CandidateEntry {
            provider: 0,
            model: SELF_TEST.into(),
            order: 1,
            weight: 1,
            prices: Prices::default(),
        }],
    };
    Model::load(&entry, &[provider], None, registry, &caches.self_test)
}

#[cfg(test)]
pub(crate) mod testing {
    use gatewayz_metrics::RegistrySettings;

    use super::*;
    use crate::metrics::FAMILIES;

    /// Model `m` at one provider.
    pub(crate) fn routing_to(base_url: &str, connect_seconds: f64) -> Routing {
        let text = format!(
            "[[providers]]\nname = \"p\"\nkind = \"openai\"\nbase_url = \"{base_url}\"\n\
             timeouts = {{ connect_seconds = {connect_seconds:?} }}\n\
             [[models]]\nid = \"m\"\ncandidates = [{{ provider = \"p\", model = \"u\" }}]\n"
        );
        let registry = Registry::new(&[FAMILIES], RegistrySettings::default()).unwrap();
        let cache = Arc::new(CacheMetrics::new(&registry, "c").unwrap());
        let caches = CacheHandles {
            responses: Arc::clone(&cache),
            self_test: cache,
        };
        let catalog = Catalog::parse(&text, |_| None).unwrap();
        Routing::load(&catalog, None, &registry, &caches).unwrap()
    }
}
