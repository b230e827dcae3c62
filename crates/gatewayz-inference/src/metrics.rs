//! The metrics of inference: their families, and handles prepared when a catalog is loaded.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gatewayz_metrics::{Counter, Exemplar, Family, Histogram, LABEL_OVERFLOW, Registry, SeriesError, Unit};

use crate::outcome::{CacheStatus, InferenceOutcome, Status, UsageSource};
use crate::pricing::PICOS_PER_USD;

/// The buckets of the original dashboards (0.1 and up), with finer ones below for caches and first tokens.
const DURATION_BUCKETS: &[f64] = &[
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 120.0, 300.0,
];
const RESPONSE_BUCKETS: &[f64] = &[
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
/// What a catalog may hold, 500 models with up to 10 candidates in 5 states, and the test of itself.
const SERIES_LIMIT: usize = 25_000 + 5;

/// Calls by how they ended.
pub const REQUESTS: Family = Family::counter(
    "model_inference_requests_total",
    "Inference calls finished, by how they ended.",
    &["provider", "model", "status"],
)
.with_series_limit(SERIES_LIMIT);

/// Duration of whole calls.
pub const DURATION: Family = Family::histogram(
    "model_inference_duration_seconds",
    "Time from reading an inference request to the last byte of its answer.",
    &["provider", "model"],
    Unit::Seconds,
    DURATION_BUCKETS,
)
.with_series_limit(SERIES_LIMIT);

/// Time to the first piece of output of a stream.
pub const TIME_TO_FIRST_TOKEN: Family = Family::histogram(
    "model_inference_time_to_first_token_seconds",
    "Time from reading an inference request to the first output of its stream.",
    &["provider", "model"],
    Unit::Seconds,
    DURATION_BUCKETS,
)
.with_series_limit(SERIES_LIMIT);

/// Tokens used.
pub const TOKENS: Family = Family::counter(
    "tokens_used_total",
    "Tokens that providers reported (input, output), and guesses where they reported none (estimated_*).",
    &["provider", "model", "token_type"],
)
.with_series_limit(SERIES_LIMIT);

/// Money spent.
pub const CREDITS: Family = Family::counter(
    "credits_used_total",
    "Cost of the tokens that providers reported; one credit is one US dollar.",
    &["provider", "model"],
)
.with_steps_per_unit(PICOS_PER_USD)
.with_series_limit(SERIES_LIMIT);

/// Whether a provider can be called.
pub const AVAILABILITY: Family = Family::gauge(
    "provider_availability",
    "1 while the provider can be called: no breaker keeps its calls away and its last probe went well.",
    &["provider"],
);

/// Share of failed attempts.
pub const ERROR_RATE: Family = Family::gauge(
    "provider_error_rate",
    "Share of the provider's attempts in the last minute whose failure speaks against it, 0 to 1.",
    &["provider"],
);

/// Whether a breaker keeps calls away.
pub const BREAKER_OPEN: Family = Family::gauge(
    "provider_breaker_open",
    "1 while calls of the model are kept away from the provider.",
    &["provider", "model"],
)
.with_series_limit(SERIES_LIMIT);

/// Response time of single attempts.
pub const RESPONSE_TIME: Family = Family::histogram(
    "provider_response_time_seconds",
    "Time from sending an attempt to the provider to the first byte of its answer.",
    &["provider"],
    Unit::Seconds,
    RESPONSE_BUCKETS,
);

/// Answers from the cache.
pub const CACHE_HITS: Family = Family::counter(
    "cache_hits_total",
    "Calls answered from the cache.",
    &["cache_name"],
);

/// Lookups in vain.
pub const CACHE_MISSES: Family = Family::counter(
    "cache_misses_total",
    "Calls for which the cache was asked in vain.",
    &["cache_name"],
);

/// Size of the cache.
pub const CACHE_SIZE: Family =
    Family::gauge("cache_size_bytes", "Bytes held by the cache.", &["cache_name"]).with_unit(Unit::Bytes);

/// Families of this crate, for [`Registry::new`].
pub const FAMILIES: &[Family] = &[
    REQUESTS,
    DURATION,
    TIME_TO_FIRST_TOKEN,
    TOKENS,
    CREDITS,
    AVAILABILITY,
    ERROR_RATE,
    BREAKER_OPEN,
    RESPONSE_TIME,
    CACHE_HITS,
    CACHE_MISSES,
    CACHE_SIZE,
];

/// Handles of one model at one provider.
#[derive(Debug)]
pub(crate) struct CandidateMetrics {
    pub(crate) provider: Arc<str>,
    model: Arc<str>,
    registry: Registry,
    requests: [Counter; Status::ALL.len()],
    duration: Histogram,
    time_to_first_token: Histogram,
    tokens: [Counter; 2],
    /// Made when a provider first leaves usage out: most never do.
    estimated_tokens: OnceLock<Option<[Counter; 2]>>,
    credits: Counter,
    cache: Arc<CacheMetrics>,
}

/// Handles of one cache.
#[derive(Debug)]
pub(crate) struct CacheMetrics {
    hits: Counter,
    misses: Counter,
}

impl CacheMetrics {
    pub(crate) fn new(registry: &Registry, cache_name: &str) -> Result<Self, SeriesError> {
        Ok(Self {
            hits: registry.counter(&CACHE_HITS, &[cache_name])?,
            misses: registry.counter(&CACHE_MISSES, &[cache_name])?,
        })
    }
}

impl CandidateMetrics {
    pub(crate) fn new(
        registry: &Registry,
        provider: &Arc<str>,
        model: &Arc<str>,
        cache: &Arc<CacheMetrics>,
    ) -> Result<Self, SeriesError> {
        let labels: &[&str] = &[provider, model];
        let [success, error, timeout, cancelled, truncated] =
            Status::ALL.map(|status| registry.counter(&REQUESTS, &[provider, model, status.as_str()]));
        Ok(Self {
            provider: Arc::clone(provider),
            model: Arc::clone(model),
            registry: registry.clone(),
            requests: [success?, error?, timeout?, cancelled?, truncated?],
            duration: registry.histogram(&DURATION, labels)?,
            time_to_first_token: registry.histogram(&TIME_TO_FIRST_TOKEN, labels)?,
            tokens: tokens(registry, provider, model, ["input", "output"])?,
            estimated_tokens: OnceLock::new(),
            credits: registry.counter(&CREDITS, labels)?,
            cache: Arc::clone(cache),
        })
    }

    /// Takes one outcome: the only way into the metrics of a call.
    pub(crate) fn record(&self, outcome: &InferenceOutcome, exemplar: Option<Exemplar>) {
        let place = Status::ALL.iter().position(|status| *status == outcome.status);
        if let Some(requests) = place.and_then(|place| self.requests.get(place)) {
            requests.increment();
        }
        self.duration.observe(nanos(outcome.duration), exemplar);
        if let Some(time) = outcome.time_to_first_token {
            self.time_to_first_token.observe(nanos(time), exemplar);
        }
        match outcome.cache {
            CacheStatus::Hit => self.cache.hits.increment(),
            CacheStatus::Miss => self.cache.misses.increment(),
            CacheStatus::Bypass => {}
        }
        let counters = match outcome.usage_source {
            UsageSource::Provider => Some(&self.tokens),
            UsageSource::Estimate => self.estimated_tokens(),
            UsageSource::None => None,
        };
        if let Some([input, output]) = counters {
            input.add(outcome.tokens.input);
            output.add(outcome.tokens.output);
        }
        self.credits.add(outcome.cost.picodollars());
    }

    fn estimated_tokens(&self) -> Option<&[Counter; 2]> {
        let types = ["estimated_input", "estimated_output"];
        self.estimated_tokens
            .get_or_init(|| tokens(&self.registry, &self.provider, &self.model, types).ok())
            .as_ref()
    }
}

/// For each family of this crate with labels, how often a series was refused so far.
pub(crate) fn overflows(registry: &Registry) -> Result<Vec<(&'static str, u64)>, SeriesError> {
    FAMILIES
        .iter()
        .map(|family| {
            let refused = registry.counter(&LABEL_OVERFLOW, &[family.name])?;
            Ok((family.name, refused.value()))
        })
        .collect()
}

/// Nanoseconds, as histograms in seconds take them.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn tokens(
    registry: &Registry,
    provider: &str,
    model: &str,
    types: [&str; 2],
) -> Result<[Counter; 2], SeriesError> {
    let [input, output] = types.map(|token_type| registry.counter(&TOKENS, &[provider, model, token_type]));
    Ok([input?, output?])
}
