//! Which traces are kept: the standard samplers, and a limit on what callers can force.

use std::num::ParseFloatError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::trace::TraceId;

use crate::clock::Moment;
use crate::w3c::TraceContext;

/// A sampler of OTEL_TRACES_SAMPLER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampler {
    /// The rule decides every trace; the caller's flag is ignored.
    Root(RootRule),
    /// The caller's flag decides; the rule decides traces that start here.
    ParentBased(RootRule),
}

impl Default for Sampler {
    /// `parentbased_always_on`, the default of the OpenTelemetry specification.
    fn default() -> Self {
        Self::ParentBased(RootRule::AlwaysOn)
    }
}

impl Sampler {
    /// Reads the values of OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG.
    ///
    /// Names are compared without case. No name is the default, no argument the ratio 1; an argument
    /// to a sampler that takes none is ignored.
    pub fn parse(name: Option<&str>, argument: Option<&str>) -> Result<Self, SamplerError> {
        let Some(name) = name else {
            return Ok(Self::default());
        };
        let ratio = || {
            argument
                .map_or(Ok(SampleRatio::ALL), SampleRatio::parse)
                .map(RootRule::TraceIdRatio)
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "always_on" => Ok(Self::Root(RootRule::AlwaysOn)),
            "always_off" => Ok(Self::Root(RootRule::AlwaysOff)),
            "traceidratio" => Ok(Self::Root(ratio()?)),
            "parentbased_always_on" => Ok(Self::ParentBased(RootRule::AlwaysOn)),
            "parentbased_always_off" => Ok(Self::ParentBased(RootRule::AlwaysOff)),
            "parentbased_traceidratio" => Ok(Self::ParentBased(ratio()?)),
            _ => Err(SamplerError::UnknownName),
        }
    }

    /// Name as in OTEL_TRACES_SAMPLER.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Root(RootRule::AlwaysOn) => "always_on",
            Self::Root(RootRule::AlwaysOff) => "always_off",
            Self::Root(RootRule::TraceIdRatio(_)) => "traceidratio",
            Self::ParentBased(RootRule::AlwaysOn) => "parentbased_always_on",
            Self::ParentBased(RootRule::AlwaysOff) => "parentbased_always_off",
            Self::ParentBased(RootRule::TraceIdRatio(_)) => "parentbased_traceidratio",
        }
    }

    /// Whether a trace is kept. `parent` is `None` for a trace that starts here.
    pub fn sample(&self, parent: Option<&TraceContext>, trace_id: TraceId) -> bool {
        match (self, parent) {
            (Self::ParentBased(_), Some(parent)) => parent.flags.is_sampled(),
            (Self::ParentBased(rule), None) | (Self::Root(rule), _) => rule.sample(trace_id),
        }
    }

    /// [`Sampler::sample`], except that a trace kept because its caller's flag says so takes one
    /// from `limit`, and is not kept when nothing is left. Traces the rule decides take nothing.
    pub fn sample_limited(
        &self,
        parent: Option<&TraceContext>,
        trace_id: TraceId,
        limit: &IncomingLimit,
        now: Moment,
    ) -> bool {
        let caller_decides = matches!((self, parent), (Self::ParentBased(_), Some(_)));
        self.sample(parent, trace_id) && (!caller_decides || limit.admit(now))
    }
}

/// A decision on the trace id alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootRule {
    /// Keep every trace.
    AlwaysOn,
    /// Keep none.
    AlwaysOff,
    /// Keep a share, the same one in every service with the same ratio.
    TraceIdRatio(SampleRatio),
}

impl RootRule {
    fn sample(&self, trace_id: TraceId) -> bool {
        match self {
            Self::AlwaysOn => true,
            Self::AlwaysOff => false,
            Self::TraceIdRatio(ratio) => ratio.sample(trace_id),
        }
    }
}

/// Share of traces to keep, between 0 and 1, held as a bound on 63 bits of the trace id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleRatio {
    bound: u64,
}

impl SampleRatio {
    /// Every trace.
    pub const ALL: Self = Self { bound: Self::SCALE };

    /// Number of values that 63 bits can take.
    const SCALE: u64 = 1 << 63;

    /// Reads a decimal number, as in OTEL_TRACES_SAMPLER_ARG.
    pub fn parse(text: &str) -> Result<Self, SamplerError> {
        let share: f64 = text.trim().parse().map_err(SamplerError::NotANumber)?;
        Self::try_from(share)
    }

    /// The share, between 0 and 1.
    pub fn share(&self) -> f64 {
        self.bound as f64 / Self::SCALE as f64
    }

    /// Compares the upper 63 of the trace id's lower 64 bits, like opentelemetry_sdk's sampler.
    fn sample(&self, trace_id: TraceId) -> bool {
        let lower = u128::from_be_bytes(trace_id.to_bytes()) as u64;
        (lower >> 1) < self.bound
    }
}

impl TryFrom<f64> for SampleRatio {
    type Error = SamplerError;

    fn try_from(share: f64) -> Result<Self, SamplerError> {
        if !(0.0..=1.0).contains(&share) {
            return Err(SamplerError::RatioOutOfRange);
        }
        Ok(Self {
            bound: (share * Self::SCALE as f64) as u64,
        })
    }
}

/// Why sampler settings were not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SamplerError {
    /// No sampler has this name.
    #[error(
        "find a sampler of that name (always_on, always_off, traceidratio, parentbased_always_on, \
         parentbased_always_off, parentbased_traceidratio)"
    )]
    UnknownName,
    /// The argument is not a number.
    #[error("read the sampling ratio as a number")]
    NotANumber(#[source] ParseFloatError),
    /// The argument is a number no share can be.
    #[error("use a sampling ratio between 0 and 1")]
    RatioOutOfRange,
}

/// Bounds the traces that are kept only because a caller's flag says so.
///
/// A token bucket that holds one second's worth and starts full: in any `t` seconds at most
/// `per_second * (t + 1)` pass. Never blocks and never reads a clock.
#[derive(Debug)]
pub struct IncomingLimit {
    origin: Moment,
    /// Time that one trace uses up, in nanoseconds. `None` lets nothing pass.
    interval: Option<u64>,
    /// Time that the bucket holds when full, in nanoseconds.
    capacity: u64,
    /// When the bucket will be full again, in nanoseconds after `origin`.
    full_at: AtomicU64,
    limited_total: AtomicU64,
}

impl IncomingLimit {
    /// `per_second` of 0 lets nothing pass.
    pub fn new(per_second: u32, now: Moment) -> Self {
        // Rounded up, so that rounding never raises the limit.
        let interval = (per_second > 0).then(|| NANOS_PER_SECOND.div_ceil(u64::from(per_second)));
        Self {
            origin: now,
            interval,
            capacity: interval.unwrap_or(0).saturating_mul(u64::from(per_second)),
            full_at: AtomicU64::new(0),
            limited_total: AtomicU64::new(0),
        }
    }

    /// Takes one from the bucket; false, and counted, when it is empty.
    ///
    /// An earlier `now` than before is allowed and refills nothing.
    pub fn admit(&self, now: Moment) -> bool {
        let now = now.nanos_since(self.origin);
        let admitted = self.interval.is_some_and(|interval| {
            let take = |full_at: u64| {
                let full_at = full_at.max(now).saturating_add(interval);
                (full_at - now <= self.capacity).then_some(full_at)
            };
            self.full_at
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok()
        });
        if !admitted {
            self.limited_total.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// Traces that were not kept because of the limit, since the start.
    pub fn limited_total(&self) -> u64 {
        self.limited_total.load(Ordering::Relaxed)
    }
}

const NANOS_PER_SECOND: u64 = Duration::from_secs(1).as_nanos() as u64;

#[cfg(test)]
mod tests;
