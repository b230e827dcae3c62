//! The gateway: what happens to a call, from its bytes to its answer.

mod serve;
mod state;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use gatewayz_delivery::http::TlsError;
use gatewayz_metrics::{Exemplar, Registry, Samples, SeriesError};
use http::header::HeaderMap;
use tokio::sync::watch;
use tracing::Span;

use crate::SELF_TEST;
use crate::answer::Answer;
use crate::budget::RetryBudget;
use crate::cache::ResponseCache;
use crate::call::Call;
use crate::catalog::{Catalog, Operation};
use crate::error::InferenceError;
use crate::metrics::{AVAILABILITY, BREAKER_OPEN, CACHE_SIZE, CacheMetrics, ERROR_RATE, overflows};
use crate::outcome::{InferenceOutcome, Pending};
use crate::provider::Connections;
use crate::request::Request;
use crate::room::Room;
use crate::routing::{CacheHandles, Model, Routing};
use serve::{Serving, json};
pub use state::ProviderHealth;

/// The label of the cache of answers.
const RESPONSES: &str = "responses";
const SELF_TEST_CACHE_BYTES: u64 = 64 * 1024;
/// What the last event of a stream needs to reach its client.
const CALLS_END_BEFORE: Duration = Duration::from_millis(500);

/// Writes `traceparent` and `tracestate` of a span into the headers of an attempt.
pub type TraceHeaders = Arc<dyn Fn(&Span, &mut HeaderMap) + Send + Sync>;

/// Choices of a gateway.
#[derive(Clone)]
pub struct GatewaySettings {
    /// Silence in a stream after which a comment is sent; `None` for never.
    pub keep_alive: Option<Duration>,
    /// Bytes of answers that are kept, of all models together.
    pub cache_bytes: u64,
    /// Bytes of answers in one piece that are read and sent at once, without the first 64 KiB of each.
    pub answers_max_bytes: usize,
    /// Sends the trace along; `None` to send none.
    pub trace_headers: Option<TraceHeaders>,
}

/// Answers inference calls. Clones share everything, connections included.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
    connections: Arc<Connections>,
}

struct Shared {
    routing: ArcSwap<Routing>,
    registry: Registry,
    cache_handles: CacheHandles,
    cache: Arc<ResponseCache>,
    self_test_cache: Arc<ResponseCache>,
    self_tests: AtomicU64,
    budget: RetryBudget,
    answer_room: Arc<Room>,
    settings: GatewaySettings,
    /// When open calls are ended; `None` while the service runs.
    calls_end: watch::Sender<Option<Instant>>,
    /// Those of all workers, to be prepared for the next catalog.
    connections: Mutex<Vec<Weak<Connections>>>,
}

/// Why a gateway could not be made, or a catalog not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The registry has not this crate's families.
    #[error("prepare the metrics of the catalog")]
    Metrics(#[from] SeriesError),
    /// The registry has no room for the series of the catalog: models would be told together as `__other__`.
    #[error("keep the series of {family} within the limits of the registry")]
    SeriesLimit {
        /// The family that is full.
        family: &'static str,
    },
    /// TLS cannot be set up.
    #[error("prepare connections to providers")]
    Connections(#[from] TlsError),
}

impl Default for GatewaySettings {
    /// A comment after 15 s of silence, 64 MiB of answers kept and 64 MiB on their way, no trace headers.
    fn default() -> Self {
        Self {
            keep_alive: Some(Duration::from_secs(15)),
            cache_bytes: 64 * 1024 * 1024,
            answers_max_bytes: 64 * 1024 * 1024,
            trace_headers: None,
        }
    }
}

impl Gateway {
    /// Prepares metrics and connections for a catalog. `registry` has [`FAMILIES`](crate::FAMILIES), and no other
    /// gateway.
    ///
    /// # Errors
    /// Families are missing in the registry or it has no room for their series, or TLS cannot be set up.
    pub fn new(catalog: &Catalog, registry: &Registry, settings: GatewaySettings) -> Result<Self, LoadError> {
        let cache_handles = CacheHandles {
            responses: Arc::new(CacheMetrics::new(registry, RESPONSES)?),
            self_test: Arc::new(CacheMetrics::new(registry, SELF_TEST)?),
        };
        let routing = load(catalog, None, registry, &cache_handles)?;
        let connections = Arc::new(Connections::prepared(&routing)?);
        let shared = Arc::new(Shared {
            routing: ArcSwap::from_pointee(routing),
            registry: registry.clone(),
            cache_handles,
            cache: Arc::new(ResponseCache::new(settings.cache_bytes)),
            self_test_cache: Arc::new(ResponseCache::new(SELF_TEST_CACHE_BYTES)),
            self_tests: AtomicU64::new(0),
            budget: RetryBudget::new(Instant::now()),
            answer_room: Room::of(settings.answers_max_bytes),
            settings,
            calls_end: watch::Sender::default(),
            connections: Mutex::new(vec![Arc::downgrade(&connections)]),
        });
        let gauges = [AVAILABILITY, ERROR_RATE, BREAKER_OPEN, CACHE_SIZE];
        let seen = Arc::downgrade(&shared);
        registry.collector(
            &gauges,
            Box::new(move |samples: &mut Samples<'_>| state::collect(&seen, samples)),
        )?;
        Ok(Self { shared, connections })
    }

    /// The same gateway with connections of its own. A server with a runtime for each worker thread gives each
    /// worker one: a connection is driven by the runtime that opened it, so a shared one costs a change of threads
    /// with each piece of an answer.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn with_own_connections(&self) -> Result<Self, LoadError> {
        let mut all = self.shared.all_connections();
        let connections = Arc::new(Connections::prepared(&self.shared.routing.load())?);
        all.push(Arc::downgrade(&connections));
        drop(all);
        Ok(Self {
            shared: Arc::clone(&self.shared),
            connections,
        })
    }

    /// Takes another catalog. Calls under way end with the old one; providers and models that stay keep their
    /// breakers, health and metrics.
    ///
    /// # Errors
    /// As [`new`](Self::new); the old catalog stays.
    pub fn reload(&self, catalog: &Catalog) -> Result<(), LoadError> {
        let Shared {
            routing,
            registry,
            cache_handles,
            ..
        } = &*self.shared;
        // Held to the end: of two reloads at the same time the last one counts, and a new worker waits.
        let mut all = self.shared.all_connections();
        let before = routing.load_full();
        let next = load(catalog, Some(&before), registry, cache_handles)?;
        all.retain(|connections| connections.strong_count() > 0);
        for connections in all.iter().filter_map(Weak::upgrade) {
            connections.prepare(&[&next, &before])?;
        }
        routing.store(Arc::new(next));
        Ok(())
    }

    /// Ends calls that are still open half a second before `deadline`, and later ones at once: a stream with an error
    /// event that says so, any other with [`InferenceError::ShuttingDown`]. For a service that stops: a connection cut
    /// without a word looks like a complete answer to some clients.
    pub fn close_calls_at(&self, deadline: Instant) {
        let end = deadline.checked_sub(CALLS_END_BEFORE).unwrap_or(deadline);
        self.shared.calls_end.send_replace(Some(end));
    }

    /// `POST /v1/chat/completions`.
    ///
    /// # Errors
    /// The request cannot be routed, or no provider began to answer.
    pub fn chat(&self, body: Bytes, call: Call) -> impl Future<Output = Result<Answer, InferenceError>> {
        self.infer(Operation::Chat, body, call)
    }

    /// `POST /v1/embeddings`.
    ///
    /// # Errors
    /// As [`chat`](Self::chat).
    pub fn embeddings(
        &self,
        body: Bytes,
        call: Call,
    ) -> impl Future<Output = Result<Answer, InferenceError>> {
        self.infer(Operation::Embeddings, body, call)
    }

    /// `GET /v1/models`.
    #[must_use]
    pub fn models(&self) -> Answer {
        json(self.shared.routing.load().list.clone())
    }

    /// `GET /v1/models/{id}`, with the id decoded.
    ///
    /// # Errors
    /// There is no such model.
    pub fn model(&self, id: &str) -> Result<Answer, InferenceError> {
        match self.shared.routing.load().models.get(id) {
            Some(model) => Ok(json(model.description().to_string().into())),
            None => Err(InferenceError::UnknownModel { model: id.to_owned() }),
        }
    }

    /// Two real calls through the whole path with provider, model and cache named `selftest`: the second is answered
    /// from the cache. Their outcomes, in order.
    ///
    /// # Errors
    /// The path is broken.
    pub async fn self_test(
        &self,
        exemplar: Option<Exemplar>,
    ) -> Result<Vec<InferenceOutcome>, InferenceError> {
        let number = self.shared.self_tests.fetch_add(1, Ordering::Relaxed);
        let body = format!(
            r#"{{"model":"{SELF_TEST}","messages":[{{"role":"user","content":"self test {number}"}}]}}"#
        );
        let request = Request::parse(Operation::Chat, body.into())?;
        let model = Arc::clone(&self.shared.routing.load().self_test);
        let outcomes = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..2 {
            let outcomes = Arc::clone(&outcomes);
            let observer = move |outcome: &InferenceOutcome| {
                let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                outcomes.push(outcome.clone());
            };
            let call = Call {
                exemplar,
                observer: Some(Box::new(observer)),
                ..Call::default()
            };
            self.serve(&request, &model, &self.shared.self_test_cache, call)
                .await?;
        }
        let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *outcomes))
    }

    async fn infer(&self, operation: Operation, body: Bytes, call: Call) -> Result<Answer, InferenceError> {
        let request = Request::parse(operation, body)?;
        let routing = self.shared.routing.load_full();
        let Some(model) = routing.models.get(request.model.as_str()) else {
            return Err(InferenceError::UnknownModel { model: request.model });
        };
        if model.operation != operation {
            let operation = operation.as_str();
            return Err(InferenceError::WrongOperation { operation });
        }
        self.serve(&request, model, &self.shared.cache, call).await
    }

    async fn serve(
        &self,
        request: &Request,
        model: &Model,
        cache: &Arc<ResponseCache>,
        mut call: Call,
    ) -> Result<Answer, InferenceError> {
        let Some(first) = model.candidates.first() else {
            return Err(InferenceError::Internal);
        };
        let observer = call.observer.take();
        let operation = request.operation.as_str();
        let pending = Pending::new(&model.id, operation, &first.metrics, observer, call.exemplar);
        let serving = Serving {
            shared: &self.shared,
            connections: &self.connections,
            cache,
            request,
            model,
            call: &call,
        };
        serving.run(pending).await
    }
}

impl Shared {
    fn all_connections(&self) -> MutexGuard<'_, Vec<Weak<Connections>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Prepares a catalog, unless its series do not fit.
fn load(
    catalog: &Catalog,
    previous: Option<&Routing>,
    registry: &Registry,
    caches: &CacheHandles,
) -> Result<Routing, LoadError> {
    let before = overflows(registry)?;
    let routing = Routing::load(catalog, previous, registry, caches)?;
    let after = overflows(registry)?;
    match before.iter().zip(&after).find(|(before, after)| before != after) {
        Some((_, (family, _))) => Err(LoadError::SeriesLimit { family }),
        None => Ok(routing),
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let models = self.shared.routing.load().models.len();
        formatter
            .debug_struct("Gateway")
            .field("models", &models)
            .finish_non_exhaustive()
    }
}
