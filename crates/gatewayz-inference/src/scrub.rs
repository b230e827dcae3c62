//! Takes keys out of what a provider says about an error.

use secrecy::{ExposeSecret, SecretString};

use crate::error::ErrorObject;
use crate::reading::ProviderMessage;

const MASK: &str = "***";
/// Longest text of a provider that is passed on.
const MAX_CHARACTERS: usize = 4_096;
/// How keys of the usual providers begin.
const KEY_PREFIXES: [&str; 6] = ["sk-", "sk_", "gsk_", "xai-", "Bearer ", "AIza"];
const MIN_KEY_CHARACTERS: usize = 8;

/// `text` without the key itself, and without anything that looks like one.
pub(crate) fn scrubbed(text: &str, key: Option<&SecretString>) -> String {
    let mut clean = match key {
        Some(key) => text.replace(key.expose_secret(), MASK),
        None => text.to_owned(),
    };
    for prefix in KEY_PREFIXES {
        clean = without_prefixed(&clean, prefix);
    }
    // Last: half a key is not found any more.
    if let Some((end, _)) = clean.char_indices().nth(MAX_CHARACTERS) {
        clean.truncate(end);
    }
    clean
}

/// The error body for a client, made of what the provider said, and of `otherwise` where it said nothing.
pub(crate) fn error_body(
    said: &ProviderMessage,
    otherwise: &ErrorObject<'_>,
    key: Option<&SecretString>,
) -> Vec<u8> {
    let clean = |text: &Option<String>| text.as_deref().map(|text| scrubbed(text, key));
    let (message, kind) = (clean(&said.message), clean(&said.kind));
    let (param, code) = (clean(&said.param), clean(&said.code));
    ErrorObject {
        message: message.as_deref().unwrap_or(otherwise.message),
        r#type: kind.as_deref().unwrap_or(otherwise.r#type),
        param: param.as_deref().or(otherwise.param),
        code: code.as_deref().or(otherwise.code),
    }
    .to_body()
}

fn without_prefixed(text: &str, prefix: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = rest.find(prefix) {
        let (before, from) = rest.split_at(found);
        let after = from.get(prefix.len()..).unwrap_or_default();
        let is_key = |symbol: char| symbol.is_ascii_alphanumeric() || "_-*.".contains(symbol);
        let key_bytes = after.find(|symbol| !is_key(symbol)).unwrap_or(after.len());
        clean.push_str(before);
        let is_word_start = !clean.ends_with(|symbol: char| symbol.is_ascii_alphanumeric());
        if is_word_start && key_bytes >= MIN_KEY_CHARACTERS {
            clean.push_str(MASK);
        } else {
            clean.push_str(prefix);
            clean.push_str(after.get(..key_bytes).unwrap_or_default());
        }
        rest = after.get(key_bytes..).unwrap_or_default();
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_out() {
        let key = SecretString::from("own-key-123456");
        for (said, expected) in [
            (
                "Incorrect API key provided: sk-proj-abc***xyz1. See docs",
                "Incorrect API key provided: *** See docs",
            ),
            ("got own-key-123456!", "got ***!"),
            ("header 'Bearer abcdefghijk'", "header '***'"),
            ("risk-management sk-1 is short", "risk-management sk-1 is short"),
            ("é sk-", "é sk-"),
        ] {
            assert_eq!(scrubbed(said, Some(&key)), expected);
        }
    }

    #[test]
    fn a_key_at_the_longest_length_is_taken_out_before_the_text_is_cut() {
        let key = SecretString::from("own-key-123456");
        for (said, hidden) in [("own-key-123456", "own-k"), ("sk-abcdefghijkl", "sk-ab")] {
            let text = format!("{}{said}{}", "é".repeat(MAX_CHARACTERS - 6), "x".repeat(10));

            let clean = scrubbed(&text.replace("lx", "l x"), Some(&key));

            assert!(!clean.contains(hidden), "{}", &clean[clean.len() - 20..]);
            assert_eq!(clean.chars().count(), MAX_CHARACTERS);
        }
    }

    #[test]
    fn the_body_has_all_four_members() {
        let said = ProviderMessage {
            code: Some("context_length_exceeded".into()),
            ..ProviderMessage::default()
        };

        let otherwise = ErrorObject {
            message: "No.",
            r#type: "invalid_request_error",
            param: None,
            code: Some("other"),
        };
        let body: serde_json::Value = serde_json::from_slice(&error_body(&said, &otherwise, None)).unwrap();

        let expected = serde_json::json!({"error": {
            "message": "No.", "type": "invalid_request_error", "param": null, "code": "context_length_exceeded",
        }});
        assert_eq!(body, expected);
    }
}
