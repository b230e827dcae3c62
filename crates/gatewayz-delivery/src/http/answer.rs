//! A destination's answer, read as far as it is of use.

use std::time::{Duration, SystemTime};

use reqwest::Response;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use tokio::time::{Instant, timeout_at};

/// Longest part of a body that is read, in bytes; what a sink can use of one is a few kilobytes.
const BODY_MAX_BYTES: usize = 64 * 1024;
/// Longest time a body is waited for; the status has come already.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);

/// What a destination answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// How long the destination asks to wait; `None` when it does not say, or names a time that has passed.
    pub retry_after: Option<Duration>,
    /// The body as far as it came: at most 64 KiB, within one second after the status.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the status is of the class 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) async fn read(response: Response, deadline: Instant) -> Self {
        Self {
            status: response.status().as_u16(),
            retry_after: retry_after(response.headers()),
            body: read_bounded(response, deadline).await,
        }
    }
}

/// A status decides without its body, so whatever keeps the body from coming is no failure.
async fn read_bounded(mut response: Response, deadline: Instant) -> Vec<u8> {
    let deadline = deadline.min(Instant::now() + BODY_TIMEOUT);
    let mut body = Vec::new();
    while body.len() < BODY_MAX_BYTES
        && let Ok(Ok(Some(part))) = timeout_at(deadline, response.chunk()).await
    {
        let room = BODY_MAX_BYTES - body.len();
        body.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
    }
    body
}

/// How long a `Retry-After` asks to wait, in seconds or by an HTTP date (RFC 9110, section 10.2.3); `None` without one
/// that can be read, and for a date that has passed.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    until.duration_since(SystemTime::now()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_read_in_seconds_or_as_a_date() {
        let with = |value: &str| HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(30));

        let date = retry_after(&with(&soon)).unwrap();

        assert_eq!(retry_after(&with("7")), Some(Duration::from_secs(7)));
        assert!(date > Duration::from_secs(25) && date <= Duration::from_secs(30));
        assert_eq!(retry_after(&with("-1")), None);
        assert_eq!(retry_after(&with("Sun, 06 Nov 1994 08:49:37 GMT")), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
