//! Keys of clients: SHA-256 only, compared in constant time, each with its own requests per minute.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use gatewayz_config::sha256_from_hex;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::error::{InferenceError, whole_seconds};

const MAX_KEY_BYTES: usize = 512;
const MAX_NAME_CHARACTERS: usize = 64;
const MINUTE: Duration = Duration::from_secs(60);
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");

/// The keys that may call models; none by default.
#[derive(Default)]
pub struct ApiKeys {
    keys: ArcSwap<Vec<ApiKey>>,
}

#[derive(Clone)]
struct ApiKey {
    name: Arc<str>,
    hash: [u8; 32],
    limiter: Option<(u32, Arc<Limiter>)>,
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// Why keys are not usable. Positions count from 1; no message holds any part of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Another form, for example a plain key.
    #[error("read API key {position}: expected name:hex with the 64 hex digits of a SHA-256")]
    Form {
        /// Which of the entries.
        position: usize,
    },
    /// A name that is not 1 to 64 letters, digits, `.`, `_` or `-`.
    #[error("read API key {position}: a name has 1 to 64 letters, digits, dots, underscores or hyphens")]
    Name {
        /// Which of the entries.
        position: usize,
    },
    /// A name or a key that is there already.
    #[error("read API key {position}: its name or its hash is already taken")]
    Repeated {
        /// Which of the entries.
        position: usize,
    },
}

/// A call that may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The name of the key, for logs and as [`Call::tenant`](crate::Call::tenant).
    pub name: Arc<str>,
    /// What is left for the key; `None` without a limit.
    pub rate_limit: Option<RateLimit>,
}

/// Where a key stands with its requests per minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests per minute, and at once.
    pub limit: u32,
    /// Requests that are left at once.
    pub remaining: u32,
    /// Until all of them are there again.
    pub reset: Duration,
    /// Until the next one may come; `None` when this one was let through.
    pub retry_after: Option<Duration>,
}

impl ApiKeys {
    /// Reads `name:hex,name:hex`; white space and empty entries do not count. Each key gets `requests_per_minute`,
    /// `None` for no limit.
    ///
    /// # Errors
    /// The first entry that cannot be used.
    pub fn parse(entries: &str, requests_per_minute: Option<NonZeroU32>) -> Result<Self, KeyError> {
        let entries = entries
            .split([',', '\n'])
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        let mut keys: Vec<ApiKey> = Vec::new();
        for (position, entry) in (1..).zip(entries) {
            let (name, digits) = entry.split_once(':').ok_or(KeyError::Form { position })?;
            let hash = sha256_from_hex(digits.trim()).ok_or(KeyError::Form { position })?;
            let name = name.trim();
            let known = |symbol: char| symbol.is_ascii_alphanumeric() || "._-".contains(symbol);
            if name.is_empty() || name.len() > MAX_NAME_CHARACTERS || !name.chars().all(known) {
                return Err(KeyError::Name { position });
            }
            if keys.iter().any(|key| *key.name == *name || key.hash == hash) {
                return Err(KeyError::Repeated { position });
            }
            keys.push(ApiKey {
                name: name.into(),
                hash,
                limiter: requests_per_minute.map(|limit| (limit.get(), Arc::new(limiter(limit)))),
            });
        }
        Ok(Self {
            keys: ArcSwap::from_pointee(keys),
        })
    }

    /// Takes the keys of `next` instead, at once: a call is judged by the old ones or by the new ones. A key that stays
    /// keeps what is left of its requests per minute, under another name too, unless their number changes.
    pub fn replace(&self, next: &Self) {
        let before = self.keys.load();
        let taken_over = |key: &ApiKey| {
            let mut key = key.clone();
            let known = before.iter().find(|known| known.hash == key.hash);
            if let (Some((limit, limiter)), Some((known, used))) =
                (&mut key.limiter, known.and_then(|known| known.limiter.as_ref()))
                && limit == known
            {
                *limiter = Arc::clone(used);
            }
            key
        };
        let keys = next.keys.load().iter().map(taken_over).collect();
        self.keys.store(Arc::new(keys));
    }

    /// Whether there are no keys, so that nobody can be told from anybody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.load().is_empty()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.load().len()
    }

    /// Lets a call through by the value of its `Authorization` header, and counts it against its key.
    ///
    /// The key is hashed and compared with every known one without an early exit.
    ///
    /// # Errors
    /// [`InferenceError::Key`] without a known key, [`InferenceError::RateLimited`] beyond its limit.
    pub fn admit(&self, authorization: Option<&[u8]>) -> Result<Admitted, InferenceError> {
        let token = authorization.and_then(bearer_token).ok_or(InferenceError::Key)?;
        let presented: [u8; 32] = Sha256::digest(token).into();
        let keys = self.keys.load();
        let mut found = 0_u64;
        let mut any = Choice::from(0);
        for (index, key) in (0..).zip(keys.iter()) {
            let is_same = key.hash.ct_eq(&presented);
            found.conditional_assign(&index, is_same);
            any |= is_same;
        }
        let key = usize::try_from(found).ok().and_then(|found| keys.get(found));
        let key = key.filter(|_| bool::from(any)).ok_or(InferenceError::Key)?;
        Ok(Admitted {
            name: Arc::clone(&key.name),
            rate_limit: key.count()?,
        })
    }
}

impl ApiKey {
    fn count(&self) -> Result<Option<RateLimit>, InferenceError> {
        let Some((limit, limiter)) = &self.limiter else {
            return Ok(None);
        };
        let standing = |remaining: u32, retry_after| RateLimit {
            limit: *limit,
            remaining,
            reset: MINUTE * limit.saturating_sub(remaining) / *limit,
            retry_after,
        };
        match limiter.check() {
            Ok(state) => Ok(Some(standing(
                StateSnapshot::remaining_burst_capacity(&state),
                None,
            ))),
            Err(until) => {
                let wait = until.wait_time_from(DefaultClock::default().now());
                Err(InferenceError::RateLimited {
                    key: Arc::clone(&self.name),
                    limit: standing(0, Some(wait)),
                })
            }
        }
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.load();
        let names = keys.iter().map(|key| &key.name);
        formatter.debug_list().entries(names).finish()
    }
}

impl RateLimit {
    /// Adds OpenAI's `x-ratelimit-*` headers, and `Retry-After` to a refusal.
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, self.limit.into());
        headers.insert(REMAINING, self.remaining.into());
        if let Ok(reset) = HeaderValue::from_str(&go_duration(self.reset)) {
            headers.insert(RESET, reset);
        }
        if let Some(retry_after) = self.retry_after {
            headers.insert(RETRY_AFTER, whole_seconds(retry_after));
        }
    }
}

fn limiter(per_minute: NonZeroU32) -> Limiter {
    RateLimiter::direct(Quota::per_minute(per_minute)).with_middleware()
}

fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    let token = token.trim_ascii();
    let is_usable =
        !token.is_empty() && token.len() <= MAX_KEY_BYTES && token.iter().all(u8::is_ascii_graphic);
    (scheme.eq_ignore_ascii_case(b"Bearer ") && is_usable).then_some(token)
}

/// As OpenAI writes durations: `120ms`, `6m0s`.
fn go_duration(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    match (seconds / 60, seconds % 60) {
        (0, 0) => format!("{millis}ms"),
        (0, seconds) if millis == 0 => format!("{seconds}s"),
        (0, seconds) => format!("{seconds}.{millis:03}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, key: &str) -> String {
        let hash = Sha256::digest(key);
        let digits = hash.iter().map(|byte| format!("{byte:02x}"));
        format!("{name}:{}", digits.collect::<String>())
    }

    fn keys(requests_per_minute: u32) -> ApiKeys {
        let entries = format!("{}, {}\n", entry("shop", "key-one"), entry("desk", "key-two"));
        ApiKeys::parse(&entries, NonZeroU32::new(requests_per_minute)).unwrap()
    }

    #[test]
    fn a_key_is_known_by_its_name() {
        for (header, name) in [("Bearer key-one", "shop"), ("bearer  key-two ", "desk")] {
            let admitted = keys(0).admit(Some(header.as_bytes())).unwrap();
            assert_eq!((&*admitted.name, admitted.rate_limit), (name, None));
        }
    }

    #[test]
    fn anything_else_is_refused_alike() {
        let long = format!("Bearer {}", "x".repeat(513));
        for header in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer key-three",
            "Basic key-one",
            "key-one",
            "Bearer key one",
            &long,
        ] {
            let refused = keys(0).admit(Some(header.as_bytes()));
            assert!(matches!(refused, Err(InferenceError::Key)), "{header}");
        }
        assert!(matches!(keys(0).admit(None), Err(InferenceError::Key)));
        assert!(matches!(
            ApiKeys::parse("", None).unwrap().admit(Some(b"Bearer x")),
            Err(InferenceError::Key)
        ));
    }

    /// What is left of the minute after one more call.
    fn remaining(keys: &ApiKeys, key: &[u8]) -> Result<u32, InferenceError> {
        keys.admit(Some(key))
            .map(|admitted| admitted.rate_limit.unwrap().remaining)
    }

    #[test]
    fn each_key_has_its_own_requests_per_minute() {
        let keys = keys(3);
        let remaining = |key: &[u8]| remaining(&keys, key);
        for left in [2, 1, 0] {
            assert_eq!(remaining(b"Bearer key-one").unwrap(), left);
        }

        let refused = remaining(b"Bearer key-one").unwrap_err();
        let InferenceError::RateLimited { key, limit } = &refused else {
            panic!("{refused:?}");
        };

        assert_eq!(&**key, "shop");

        let retry_after = limit.retry_after.unwrap();
        assert!(
            retry_after > Duration::from_secs(15) && retry_after <= Duration::from_secs(20),
            "{retry_after:?}"
        );
        let headers = refused.headers();
        assert_eq!(headers["x-ratelimit-limit-requests"], "3");
        assert_eq!(headers["x-ratelimit-remaining-requests"], "0");
        assert_eq!(headers["x-ratelimit-reset-requests"], "1m0s");
        assert_eq!(headers["retry-after"], "20");
        assert_eq!(remaining(b"Bearer key-two").unwrap(), 2);
    }

    #[test]
    fn a_key_that_stays_keeps_what_is_left_of_its_minute() {
        let keys = keys(3);
        let remaining = |key: &[u8]| remaining(&keys, key).ok();
        assert_eq!(remaining(b"Bearer key-one"), Some(2));
        let other = format!("{},{}", entry("store", "key-one"), entry("new", "key-three"));

        keys.replace(&ApiKeys::parse(&other, NonZeroU32::new(3)).unwrap());

        assert_eq!(remaining(b"Bearer key-one"), Some(1));
        assert_eq!(remaining(b"Bearer key-two"), None);
        assert_eq!(remaining(b"Bearer key-three"), Some(2));
        assert_eq!(format!("{keys:?}"), r#"["store", "new"]"#);

        keys.replace(&ApiKeys::parse(&other, NonZeroU32::new(5)).unwrap());

        assert_eq!(remaining(b"Bearer key-one"), Some(4));
    }

    #[test]
    fn an_entry_of_another_form_is_refused_by_position() {
        let one = entry("shop", "key-one");
        for (entries, expected) in [
            ("plain-key".to_owned(), KeyError::Form { position: 1 }),
            (format!("{one},shop:12"), KeyError::Form { position: 2 }),
            (
                format!("{one},{}", entry("a b", "x")),
                KeyError::Name { position: 2 },
            ),
            (
                format!("{one},{}", entry("shop", "x")),
                KeyError::Repeated { position: 2 },
            ),
            (
                format!("{one},{}", entry("other", "key-one")),
                KeyError::Repeated { position: 2 },
            ),
        ] {
            assert_eq!(ApiKeys::parse(&entries, None).unwrap_err(), expected);
        }
    }

    #[test]
    fn no_hash_is_shown() {
        assert_eq!(format!("{:?}", keys(1)), r#"["shop", "desk"]"#);
    }

    #[test]
    fn durations_are_written_as_openai_writes_them() {
        for (millis, expected) in [
            (120, "120ms"),
            (1_000, "1s"),
            (1_500, "1.500s"),
            (360_000, "6m0s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(millis)), expected);
        }
    }
}
