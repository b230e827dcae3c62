//! What may be told of an answer's text.

use std::fmt;

use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret, SecretString};

/// Credentials that a destination was sent and may repeat in what it answers.
#[derive(Clone, Default)]
pub struct Secrets(Vec<SecretString>);

impl Secrets {
    /// The values that are marked as sensitive, whole and without the scheme before them.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut secrets = Self::default();
        for value in headers.values().filter(|value| value.is_sensitive()) {
            let text = String::from_utf8_lossy(value.as_bytes());
            if let Some((_scheme, credentials)) = text.split_once(' ') {
                secrets.add(credentials.trim());
            }
            secrets.add(&text);
        }
        secrets
    }

    /// Adds a credential in another form than the one it is sent in. An empty one is in every text and is not
    /// guarded.
    pub fn add(&mut self, secret: &str) {
        if !secret.is_empty() {
            self.0.push(SecretString::from(secret));
        }
    }

    /// The start of an answer's text that may be shown: nothing if it holds a credential, otherwise what comes
    /// before it may repeat what was sent, which destinations show in quotes, braces or bars.
    #[must_use]
    pub fn tellable<'a>(&self, text: &'a str) -> &'a str {
        if self.0.iter().any(|secret| text.contains(secret.expose_secret())) {
            return "";
        }
        text.split(['{', '"', '|', '\n'])
            .next()
            .unwrap_or_default()
            .trim()
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Secrets").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{AUTHORIZATION, HeaderValue};

    use super::*;

    fn secrets() -> Secrets {
        let mut value = HeaderValue::from_static("Bearer s3cret");
        value.set_sensitive(true);
        let mut secrets = Secrets::of(&HeaderMap::from_iter([(AUTHORIZATION, value)]));
        secrets.add("passw0rd");
        secrets.add("");
        secrets
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(secrets().tellable(text), expected);
    }

    #[test]
    fn an_answer_is_told_up_to_where_it_may_repeat_what_was_sent() {
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
        for text in ["unknown token s3cret", "you sent Bearer s3cret", "no: passw0rd"] {
            check(text, "");
        }
    }

    #[test]
    fn a_credential_is_in_no_debug_text() {
        assert_eq!(format!("{:?}", secrets()), "Secrets { .. }");
    }
}
