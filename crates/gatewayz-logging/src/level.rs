//! Which events become lines, changeable while the service runs; spans are not affected.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tracing::{Level, Metadata};
use tracing_core::callsite::rebuild_interest_cache;
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::layer::{AUDIT_TARGET, REQUEST_TARGET};

/// Longest accepted filter text, in bytes.
const TEXT_MAX_BYTES: usize = 1024;

/// Targets of the clients that carry telemetry out. Their own records would be carried out by themselves,
/// each making the next, so they are off at every level.
const TRANSPORT_TARGETS: [&str; 9] = [
    "h2",
    "hyper",
    "hyper_util",
    "opentelemetry",
    "opentelemetry-otlp",
    "opentelemetry_sdk",
    "rustls",
    "tonic",
    "tower",
];

/// Targets that report at ERROR what a client sent wrong, or what the request's own line says already. A port scan would
/// fill the log with errors, so they are asked for at DEBUG.
const PEER_TARGETS: [&str; 1] = ["actix_http::h1::dispatcher"];

/// A level for everything, or `target=level` pairs: `info`, `warn,gatewayz_api=debug`.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels {
    text: String,
    targets: Targets,
}

/// The text is no level and no list of `target=level` pairs.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LevelParseError {
    /// Something in it is neither a level nor a pair.
    #[error(
        "expected a level (error, warn, info, debug, trace, off) or a list such as warn,gatewayz_api=debug"
    )]
    Invalid,
    /// It is longer than 1,024 bytes.
    #[error("expected at most {TEXT_MAX_BYTES} bytes")]
    TooLong,
}

impl FromStr for Levels {
    type Err = LevelParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > TEXT_MAX_BYTES {
            return Err(LevelParseError::TooLong);
        }
        // A lone word that is no level would be taken for a target at level trace.
        let sane = text.split(',').all(|part| match part.split_once('=') {
            Some((target, level)) => !target.trim().is_empty() && level.trim().parse::<LevelFilter>().is_ok(),
            None => !part.trim().is_empty() && part.trim().parse::<LevelFilter>().is_ok(),
        });
        let compact = text.split(',').map(str::trim).collect::<Vec<_>>().join(",");
        match compact.to_ascii_lowercase().parse::<Targets>() {
            Ok(_) if sane => {
                let targets = compact.parse().map_err(|_| LevelParseError::Invalid)?;
                Ok(Self {
                    text: compact,
                    targets,
                })
            }
            Ok(_) | Err(_) => Err(LevelParseError::Invalid),
        }
    }
}

impl Default for Levels {
    /// INFO and above.
    fn default() -> Self {
        Self {
            text: "info".to_owned(),
            targets: Targets::new().with_default(LevelFilter::INFO),
        }
    }
}

impl Levels {
    /// The text it was read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Reads and changes the levels at run time. Clones share one filter.
#[derive(Debug, Clone)]
pub struct LevelHandle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    configured: Levels,
    current: ArcSwap<Levels>,
    /// Held while a change is made, so that two are one after the other in all of its parts; counts them.
    changes: Mutex<u64>,
    /// Loudest level at which request lines are written, so that each asks one number instead of the list.
    request_verbosity: AtomicU8,
}

impl LevelHandle {
    /// A filter that starts at, and resets to, `configured`.
    #[must_use]
    pub fn new(configured: Levels) -> Self {
        let current = ArcSwap::from_pointee(configured.clone());
        let request_verbosity = AtomicU8::new(request_verbosity(&configured));
        Self(Arc::new(Inner {
            configured,
            current,
            changes: Mutex::new(0),
            request_verbosity,
        }))
    }

    /// The levels in force.
    #[must_use]
    pub fn current(&self) -> Arc<Levels> {
        self.0.current.load_full()
    }

    /// The levels it resets to.
    #[must_use]
    pub fn configured(&self) -> &Levels {
        &self.0.configured
    }

    /// Puts `levels` in force at once. The number identifies this change for [`Self::reset_if`].
    pub fn set(&self, levels: Levels) -> u64 {
        let mut changes = self.0.changes.lock();
        self.change(&mut changes, levels)
    }

    fn change(&self, changes: &mut u64, levels: Levels) -> u64 {
        self.0
            .request_verbosity
            .store(request_verbosity(&levels), Ordering::Release);
        self.0.current.store(Arc::new(levels));
        rebuild_interest_cache();
        *changes += 1;
        *changes
    }

    /// Goes back to the configured levels.
    pub fn reset(&self) {
        self.set(self.0.configured.clone());
    }

    /// Goes back to the configured levels if nothing has changed since `change`; for a time limit.
    pub fn reset_if(&self, change: u64) {
        let mut changes = self.0.changes.lock();
        if *changes == change {
            self.change(&mut changes, self.0.configured.clone());
        }
    }

    pub(crate) fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        if is_transport(target) {
            return false;
        }
        if metadata.is_span() {
            return *metadata.level() <= Level::INFO;
        }
        // Turning the lines down must not hide who called what.
        target == AUDIT_TARGET
            || self
                .0
                .current
                .load()
                .targets
                .would_enable(target, &asked_at(metadata))
    }

    pub(crate) fn request_enabled(&self, level: Level) -> bool {
        verbosity(level) <= self.0.request_verbosity.load(Ordering::Acquire)
    }

    pub(crate) fn max_level(&self) -> LevelFilter {
        let current = self.0.current.load();
        let loudest = current.targets.iter().map(|(_, level)| level).max();
        let default = current.targets.default_level();
        // Spans are recorded at INFO whatever the lines' level is.
        loudest
            .into_iter()
            .chain(default)
            .max()
            .unwrap_or(LevelFilter::OFF)
            .max(LevelFilter::INFO)
    }
}

fn request_verbosity(levels: &Levels) -> u8 {
    let enabled = |level: &Level| levels.targets.would_enable(REQUEST_TARGET, level);
    [Level::ERROR, Level::WARN, Level::INFO]
        .iter()
        .filter(|level| enabled(level))
        .map(|level| verbosity(*level))
        .max()
        .unwrap_or(0)
}

fn verbosity(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// The level at which an event is asked for.
fn asked_at(metadata: &Metadata<'_>) -> Level {
    if PEER_TARGETS.contains(&metadata.target()) {
        Level::DEBUG.max(*metadata.level())
    } else {
        *metadata.level()
    }
}

fn is_transport(target: &str) -> bool {
    TRANSPORT_TARGETS.iter().any(|transport| {
        target
            .strip_prefix(transport)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_level_is_refused() {
        for text in ["", "loud", "info,,", "=debug", "gatewayz=loud", &"a".repeat(2000)] {
            assert!(text.parse::<Levels>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_of_targets_and_a_plain_level_are_read() {
        for text in ["info", "WARN", "warn, gatewayz_api=debug", "off"] {
            assert!(text.parse::<Levels>().is_ok(), "{text}");
        }
    }

    #[test]
    fn a_time_limit_does_not_undo_a_later_change() {
        let handle = LevelHandle::new("info".parse().unwrap());
        let first = handle.set("debug".parse().unwrap());
        let second = handle.set("trace".parse().unwrap());

        handle.reset_if(first);
        let kept = handle.current();
        handle.reset_if(second);

        assert_eq!(kept.as_str(), "trace");
        assert_eq!(handle.current().as_str(), "info");
    }
}
