//! One text into one typed value, by the kind of its setting.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::{Kind, Setting};

const MAX_TEXT_BYTES: usize = 16 << 10;
const MAX_VALUE_BYTES: usize = 64 << 10;

/// A checked value. Without `Debug`, because some hold secrets.
pub(crate) enum Parsed {
    Text(String),
    Secret(SecretString),
    Flag(bool),
    Integer(u64),
    Number(f64),
    Duration(Duration),
    Url(Url),
    Choice(&'static str),
    Path(PathBuf),
    List(Vec<String>),
    Pairs(Vec<(String, SecretString)>),
}

/// Parses a text that is not empty, already without white space around it.
///
/// # Errors
/// The problem as a verb phrase that does not repeat the value.
pub(crate) fn parse(setting: &Setting, text: &str) -> Result<Parsed, String> {
    let limit_bytes = if setting.kind == Kind::Text {
        MAX_TEXT_BYTES
    } else {
        MAX_VALUE_BYTES
    };
    if text.len() > limit_bytes {
        return Err("is too long".to_owned());
    }
    if text.contains(char::is_control) {
        return Err("has control characters".to_owned());
    }
    match setting.kind {
        Kind::Text if setting.secret => Ok(Parsed::Secret(SecretString::from(text))),
        Kind::Text => Ok(Parsed::Text(text.to_owned())),
        Kind::Flag => flag(text).map(Parsed::Flag),
        Kind::Integer { min, max } | Kind::Milliseconds { min, max } => {
            let value = whole(text)?;
            within(value, min, max)?;
            match setting.kind {
                Kind::Milliseconds { .. } => Ok(Parsed::Duration(Duration::from_millis(value))),
                _ => Ok(Parsed::Integer(value)),
            }
        }
        Kind::Number { min, max } => {
            let value = decimal(text)?;
            within(value, min, max)?;
            Ok(Parsed::Number(value))
        }
        Kind::Duration { min, max } => {
            let value = duration(text)?;
            within(value, min, max)?;
            Ok(Parsed::Duration(value))
        }
        Kind::Bytes { min, max } => {
            let value = bytes(text)?;
            within(value, min, max)?;
            Ok(Parsed::Integer(value))
        }
        Kind::Url {
            schemes,
            assumed_scheme,
        } => url(text, schemes, assumed_scheme).map(Parsed::Url),
        Kind::Choice(words) => choice(setting, words, text).map(Parsed::Choice),
        Kind::Path | Kind::SecretFile => Ok(Parsed::Path(PathBuf::from(text))),
        Kind::List => Ok(Parsed::List(words(text).map(str::to_owned).collect())),
        Kind::Pairs => pairs(text).map(Parsed::Pairs),
    }
}

fn flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    }
}

fn within<T: Copy + PartialOrd>(value: T, min: T, max: T) -> Result<(), String> {
    if value < min || value > max {
        return Err("is out of range".to_owned());
    }
    Ok(())
}

fn whole(text: &str) -> Result<u64, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("is not a whole number".to_owned());
    }
    text.parse().map_err(|_| "is out of range".to_owned())
}

fn decimal(text: &str) -> Result<f64, String> {
    // Rust also reads `inf`, `nan` and `1e999`.
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'));
    match text.parse::<f64>() {
        Ok(value) if plain && value.is_finite() => Ok(value),
        Ok(_) | Err(_) => Err("is not a number".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let seconds_per_unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("has an unknown unit of time".to_owned()),
    };
    let seconds = decimal(digits.trim_end())? * seconds_per_unit;
    // Rounded, so that 0.3 is exactly 300 milliseconds.
    let microseconds = (seconds * 1e6).round();
    if !(0.0..=1e15).contains(&microseconds) {
        return Err("is out of range".to_owned());
    }
    Ok(Duration::from_micros(microseconds as u64))
}

fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit_bytes: u64 = match &text[digits.len()..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("has an unknown unit of size".to_owned()),
    };
    whole(digits.trim_end())?
        .checked_mul(unit_bytes)
        .ok_or_else(|| "is out of range".to_owned())
}

fn url(text: &str, schemes: &[&str], assumed_scheme: Option<&str>) -> Result<Url, String> {
    let parsed = match assumed_scheme {
        Some(scheme) if !text.contains("://") => Url::parse(&format!("{scheme}://{text}")),
        Some(_) | None => Url::parse(text),
    };
    let Ok(url) = parsed else {
        return Err("is not an absolute URL".to_owned());
    };
    if !schemes.contains(&url.scheme()) {
        return Err("has another scheme".to_owned());
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("has no host".to_owned());
    }
    if url.fragment().is_some() {
        return Err("has a fragment".to_owned());
    }
    Ok(url)
}

fn choice(setting: &Setting, words: &[&'static str], text: &str) -> Result<&'static str, String> {
    let aliases = setting.aliases.iter().map(|(alias, word)| (*alias, *word));
    words
        .iter()
        .map(|word| (*word, *word))
        .chain(aliases)
        .find(|(spelling, _)| spelling.eq_ignore_ascii_case(text))
        .map(|(_, word)| word)
        .ok_or_else(|| "has another value".to_owned())
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn pairs(text: &str) -> Result<Vec<(String, SecretString)>, String> {
    let mut pairs = Vec::new();
    for (position, word) in words(text).enumerate() {
        let entry = position + 1;
        let Some((key, value)) = word.split_once('=') else {
            return Err(format!("has no `=` in entry {entry}"));
        };
        let key = key.trim();
        if key.is_empty() {
            return Err(format!("has no key in entry {entry}"));
        }
        let Some(value) = percent_decoded(value.trim()) else {
            return Err(format!(
                "has a value that does not decode to plain text in entry {entry}"
            ));
        };
        pairs.push((key.to_owned(), SecretString::from(value)));
    }
    Ok(pairs)
}

/// Decodes `%xx`.
///
/// `None` when a `%` is not followed by two hexadecimal digits, or the result
/// is not UTF-8 or has control characters.
pub fn percent_decoded(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            decoded.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    let decoded = String::from_utf8(decoded).ok()?;
    (!decoded.contains(char::is_control)).then_some(decoded)
}
