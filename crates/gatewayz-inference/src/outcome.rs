//! The one result of a call, made once however the call ends.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gatewayz_metrics::Exemplar;

use crate::metrics::CandidateMetrics;
use crate::pricing::{Cost, Prices, Tokens};

/// The word for what a panic ended; a request that panicked has the same.
pub(crate) const PANIC: &str = "panic";

/// A finished call, good or bad.
#[derive(Debug, Clone, PartialEq)]
pub struct InferenceOutcome {
    /// Who answered; of a failed call the last one tried, or the one that would have been first.
    pub provider: Arc<str>,
    /// The catalog's id of the model.
    pub model: Arc<str>,
    /// `chat` or `embeddings`.
    pub operation: &'static str,
    /// How it ended.
    pub status: Status,
    /// From reading the request to the last byte, or to the moment the client left.
    pub duration: Duration,
    /// From reading the request to the first piece of output; `None` where nothing was streamed.
    pub time_to_first_token: Option<Duration>,
    /// Tokens by [`usage_source`](Self::usage_source).
    pub tokens: Tokens,
    /// Where the tokens come from.
    pub usage_source: UsageSource,
    /// What reported tokens cost; nothing for cached answers and estimates.
    pub cost: Cost,
    /// What the cache had to do with it.
    pub cache: CacheStatus,
    /// Calls of providers, 0 for a cached answer.
    pub attempts: u32,
    /// Why the model stopped, as the provider said; only well-known words, others are `other`.
    pub finish_reason: Option<&'static str>,
    /// What went wrong, as one low-cardinality word; `None` for a success.
    pub error: Option<&'static str>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// The answer was complete.
    Success,
    /// The provider, or all of them, failed; or the gateway did, by a panic.
    Error,
    /// A time limit was reached.
    Timeout,
    /// The client left before the answer was complete.
    Cancelled,
    /// The provider ended a stream in the middle.
    Truncated,
}

/// What the cache had to do with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheStatus {
    /// The answer came from the cache.
    Hit,
    /// The cache was asked and had nothing.
    Miss,
    /// The cache was not asked.
    Bypass,
}

/// Where the tokens of an outcome come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UsageSource {
    /// The provider reported them.
    Provider,
    /// The provider reported nothing; guessed from sizes, never counted as used and never charged.
    Estimate,
    /// Nothing was answered, or the answer was cached.
    None,
}

/// Told about each finished call; a closure will do.
pub trait Observe: Send {
    /// Takes the outcome. Runs once, on the thread where the call ended, possibly inside a destructor: it must
    /// neither block nor panic.
    fn observe(&self, outcome: &InferenceOutcome);
}

impl<F: Fn(&InferenceOutcome) + Send> Observe for F {
    fn observe(&self, outcome: &InferenceOutcome) {
        self(outcome);
    }
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Success,
        Self::Error,
        Self::Timeout,
        Self::Cancelled,
        Self::Truncated,
    ];

    /// The word of the `status` label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Truncated => "truncated",
        }
    }
}

impl CacheStatus {
    /// The word of the `x-gatewayz-cache` header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}

impl UsageSource {
    /// The word for a log line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Estimate => "estimate",
            Self::None => "none",
        }
    }
}

/// The call while it runs. Dropping it makes the outcome: that is the only place, so it is made exactly once. A call
/// that nobody finished was ended by a panic when it is dropped by one, and else was cancelled.
pub(crate) struct Pending {
    pub(crate) started: Instant,
    outcome: InferenceOutcome,
    metrics: Arc<CandidateMetrics>,
    observer: Option<Box<dyn Observe>>,
    exemplar: Option<Exemplar>,
}

impl Pending {
    pub(crate) fn new(
        model: &Arc<str>,
        operation: &'static str,
        metrics: &Arc<CandidateMetrics>,
        observer: Option<Box<dyn Observe>>,
        exemplar: Option<Exemplar>,
    ) -> Self {
        let outcome = InferenceOutcome {
            provider: Arc::clone(&metrics.provider),
            model: Arc::clone(model),
            operation,
            status: Status::Cancelled,
            duration: Duration::ZERO,
            time_to_first_token: None,
            tokens: Tokens::default(),
            usage_source: UsageSource::None,
            cost: Cost::ZERO,
            cache: CacheStatus::Bypass,
            attempts: 0,
            finish_reason: None,
            error: Some("cancelled"),
        };
        Self {
            started: Instant::now(),
            outcome,
            metrics: Arc::clone(metrics),
            observer,
            exemplar,
        }
    }

    /// The call goes to this candidate now.
    pub(crate) fn attempt(&mut self, metrics: &Arc<CandidateMetrics>) {
        self.outcome.attempts += 1;
        self.answered_by(metrics);
    }

    /// The answer is this candidate's, whether it was asked or not.
    pub(crate) fn answered_by(&mut self, metrics: &Arc<CandidateMetrics>) {
        self.outcome.provider = Arc::clone(&metrics.provider);
        self.metrics = Arc::clone(metrics);
    }

    pub(crate) fn cache(&mut self, status: CacheStatus) {
        self.outcome.cache = status;
    }

    pub(crate) fn first_token(&mut self) {
        if self.outcome.time_to_first_token.is_none() {
            self.outcome.time_to_first_token = Some(self.started.elapsed());
        }
    }

    pub(crate) fn finish_reason(&mut self, reason: Option<&'static str>) {
        self.outcome.finish_reason = reason;
    }

    /// Tokens the provider reported.
    pub(crate) fn used(&mut self, tokens: Tokens, prices: &Prices) {
        self.outcome.tokens = tokens;
        self.outcome.usage_source = UsageSource::Provider;
        self.outcome.cost = prices.cost(tokens);
    }

    /// Tokens guessed where the provider reported none.
    pub(crate) fn estimated(&mut self, tokens: Tokens) {
        self.outcome.tokens = tokens;
        self.outcome.usage_source = UsageSource::Estimate;
    }

    /// The call is over.
    pub(crate) fn finish(mut self, status: Status, error: Option<&'static str>) {
        self.outcome.status = status;
        self.outcome.error = error;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if thread::panicking() && self.outcome.status == Status::Cancelled {
            self.outcome.status = Status::Error;
            self.outcome.error = Some(PANIC);
        }
        self.outcome.duration = self.started.elapsed();
        let exemplar = self.exemplar.map(|exemplar| Exemplar {
            timestamp_nanos: unix_nanos(),
            ..exemplar
        });
        self.metrics.record(&self.outcome, exemplar);
        if let Some(observer) = &self.observer {
            observer.observe(&self.outcome);
        }
    }
}

fn unix_nanos() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
