//! W3C baggage: read from all headers into bounded text, read lazily, passed on.
//!
//! Baggage comes from the caller and stays out of logs, labels and span attributes unless someone
//! takes a value out by name.

use std::borrow::Cow;

use super::trim_whitespace;

/// Header with the caller's key-value pairs.
pub const BAGGAGE: &str = "baggage";
/// Members kept over all headers. What section "Limits" asks to propagate at least.
pub const MAX_MEMBERS: usize = 64;
/// Bytes kept over all headers, commas included. What section "Limits" asks to propagate at least.
pub const MAX_BAGGAGE_BYTES: usize = 8192;

/// The caller's key-value pairs: at least one, at most [`MAX_MEMBERS`] and [`MAX_BAGGAGE_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Baggage(Box<str>);

impl Baggage {
    /// Reads the values of all `baggage` headers, in order, as one list.
    ///
    /// A member that breaks the format, in its key, value or any property, is left out and the others
    /// stay (section "Mutating baggage"). So is a member for which there is no room left. Repeated
    /// keys stay, in order. `None` when no member is left.
    pub fn parse<'a>(headers: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut list = String::new();
        let mut count = 0;
        for text in headers.flat_map(|header| header.split(|byte| *byte == b',')) {
            if count == MAX_MEMBERS {
                break;
            }
            let length_before = list.len();
            if push_member(trim_whitespace(text), &mut list).is_some() {
                count += 1;
            } else {
                list.truncate(length_before);
            }
        }
        (count > 0).then(|| Self(list.into_boxed_str()))
    }

    /// The header value to pass on: whitespace gone, percent-encoding as received.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The members, in the order received.
    pub fn iter(&self) -> impl Iterator<Item = Member<'_>> {
        self.0.split(',').filter_map(Member::read)
    }

    /// The decoded value of the first member with that key.
    pub fn get(&self, key: &str) -> Option<Cow<'_, str>> {
        self.iter()
            .find(|member| member.key == key)
            .map(|member| member.value())
    }
}

/// One pair with its properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    key: &'a str,
    value: &'a str,
    properties: &'a str,
}

impl<'a> Member<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (pair, properties) = text.split_once(';').unwrap_or((text, ""));
        let (key, value) = pair.split_once('=')?;
        Some(Self {
            key,
            value,
            properties,
        })
    }

    /// The key, case-sensitive.
    pub fn key(&self) -> &'a str {
        self.key
    }

    /// The percent-decoded value. Bytes that are not UTF-8 become U+FFFD (section "value"); a percent
    /// sign without two hex digits stands for itself.
    pub fn value(&self) -> Cow<'a, str> {
        decode(self.value)
    }

    /// Name and decoded value of each property; a property without a value has `None`.
    pub fn properties(&self) -> impl Iterator<Item = (&'a str, Option<Cow<'a, str>>)> + use<'a> {
        let present = self.properties.split(';').filter(|property| !property.is_empty());
        present.map(|property| match property.split_once('=') {
            Some((name, value)) => (name, Some(decode(value))),
            None => (property, None),
        })
    }
}

/// Appends one member without its optional whitespace. `None` when it is malformed or there is no
/// room; the list may then hold a part of it.
fn push_member(text: &[u8], list: &mut String) -> Option<()> {
    if !list.is_empty() {
        push(list, ",")?;
    }
    let mut parts = text.split(|byte| *byte == b';');
    let (key, value) = split_pair(parts.next()?)?;
    push_pair(key, value?, list)?;
    for property in parts {
        push(list, ";")?;
        match split_pair(property)? {
            (name, Some(value)) => push_pair(name, value, list)?,
            (name, None) => push(list, str::from_utf8(name).ok()?)?,
        }
    }
    Some(())
}

fn push_pair(key: &[u8], value: &[u8], list: &mut String) -> Option<()> {
    push(list, str::from_utf8(key).ok()?)?;
    push(list, "=")?;
    push(list, str::from_utf8(value).ok()?)
}

fn push(list: &mut String, text: &str) -> Option<()> {
    if list.len() + text.len() > MAX_BAGGAGE_BYTES {
        return None;
    }
    list.push_str(text);
    Some(())
}

/// Splits at the first equals sign, trims and checks both sides; no equals sign, no value.
fn split_pair(text: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let mut sides = text.splitn(2, |byte| *byte == b'=').map(trim_whitespace);
    let key = sides.next()?;
    let value = sides.next();
    let is_key = !key.is_empty() && key.iter().all(|byte| is_token_byte(*byte));
    (is_key && value.is_none_or(|value| value.iter().all(|byte| is_value_byte(*byte))))
        .then_some((key, value))
}

/// RFC 9110, section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `baggage-octet` of section "Definition".
fn is_value_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let encoded = match rest {
            [b'%', high, low, after @ ..] => hex_value(*high).zip(hex_value(*low)).map(|pair| (pair, after)),
            _ => None,
        };
        match encoded {
            Some(((high, low), after)) => {
                bytes.push(high << 4 | low);
                rest = after;
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
