//! What Loki's answer means for a batch.

use std::time::{Duration, SystemTime};

use gatewayz_delivery::{Attempt, Failure};
use reqwest::Response;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout_at};

/// Longest part of an answer that is read, in bytes; Loki's own are a few kilobytes.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
/// Longest time the text of an answer is waited for; its status has come already.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Reads an answer. Only its status decides; its text, as far as it comes, tells an operator why.
pub(crate) async fn read(response: Response, secrets: &[SecretString]) -> Attempt {
    let status = response.status().as_u16();
    let after = retry_after(response.headers());
    let answer = read_bounded(response).await;
    if (200..300).contains(&status) {
        return Attempt::Delivered;
    }
    let text = text(&answer, secrets);
    let colon = if text.is_empty() { "" } else { ": " };
    let failure = Failure::new(
        status.to_string(),
        &format!("Loki answered {status}{colon}{text}"),
    );
    match status {
        501 | 505 => Attempt::Rejected(failure),
        408 | 429 | 500..=599 => Attempt::Retry { after, failure },
        413 => Attempt::TooLarge(failure),
        401 | 403 => Attempt::Rejected(failure.unauthorized()),
        _ => Attempt::Rejected(failure),
    }
}

async fn read_bounded(mut response: Response) -> Vec<u8> {
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let mut answer = Vec::new();
    while answer.len() < ANSWER_MAX_BYTES
        && let Ok(Ok(Some(part))) = timeout_at(deadline, response.chunk()).await
    {
        let room = ANSWER_MAX_BYTES - answer.len();
        answer.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
    }
    answer
}

/// What the answer says before it repeats what was sent: Loki shows streams in braces and, of a body it cannot
/// parse, pieces between bars.
fn text(answer: &[u8], secrets: &[SecretString]) -> String {
    let text = String::from_utf8_lossy(answer);
    let echoes = |secret: &SecretString| text.contains(secret.expose_secret());
    if secrets.iter().any(echoes) {
        return String::new();
    }
    let told = text.split(['{', '"', '|', '\n']).next().unwrap_or_default();
    told.trim().to_owned()
}

/// Seconds or an HTTP date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
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

    #[track_caller]
    fn check(answer: &str, expected: &str) {
        let secrets = [SecretString::from("s3cret")];
        assert_eq!(text(answer.as_bytes(), &secrets), expected);
    }

    #[test]
    fn an_answer_is_told_up_to_where_it_repeats_what_was_sent() {
        check(
            "entry for stream '{app=\"x\"}' has timestamp too old: 2026",
            "entry for stream '",
        );
        check(
            "error found in #10 byte of ...|ur line|...",
            "error found in #10 byte of ...",
        );
        check("gzip: invalid header\n", "gzip: invalid header");
        check("", "");
    }

    #[test]
    fn an_answer_that_repeats_a_credential_is_not_told() {
        check("unknown token s3cret", "");
    }

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
