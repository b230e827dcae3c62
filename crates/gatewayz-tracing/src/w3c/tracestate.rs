//! The `tracestate` list: validated, bounded, kept as text.

use std::iter;

use super::trim_whitespace;

/// Bytes of a kept list. Sixteen times what the recommendation asks to propagate at least.
pub const MAX_TRACESTATE_BYTES: usize = 8192;

/// Members of a list ("tracestate Header Field Values").
const MAX_MEMBERS: usize = 32;
/// Characters of a key, and of a value.
const MAX_PART_BYTES: usize = 256;
/// Members longer than this go first when the list is too long ("tracestate Limits").
const LONG_MEMBER_BYTES: usize = 128;

/// The entries of other tracing systems: at least one, at most 32, in the order received.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TraceState(Box<str>);

impl TraceState {
    /// Reads the values of all `tracestate` headers, in order, as one list.
    ///
    /// `None` when the list is empty or breaks the grammar; one bad member or a 33rd spoils all, since
    /// the list cannot be trusted to be whole. Empty members are skipped. Of members with the same key
    /// the left one, the latest, stays. A list over [`MAX_TRACESTATE_BYTES`] loses whole members: the
    /// last ones of more than 128 characters, then the last ones.
    pub fn parse<'a>(mut headers: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let first = headers.next()?;
        let mut slots = [Member::default(); MAX_MEMBERS];
        let mut free = slots.iter_mut();
        for text in iter::once(first)
            .chain(headers)
            .flat_map(|header| header.split(|byte| *byte == b','))
        {
            let text = trim_whitespace(text);
            if !text.is_empty() {
                *free.next()? = Member::parse(text)?;
            }
        }

        let count = MAX_MEMBERS - free.len();
        let members = slots.get_mut(..count)?;
        drop_repeated_keys(members);
        drop_until_it_fits(members);
        let length = length_of(members);
        if length == 0 {
            return None;
        }
        let mut list = String::with_capacity(length);
        for member in members.iter().filter(|member| !member.is_dropped()) {
            if !list.is_empty() {
                list.push(',');
            }
            list.push_str(member.text);
        }
        Some(Self(list.into_boxed_str()))
    }

    /// The header value: members joined by commas, no other whitespace than that of the values.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Key and value of each member, the latest first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.split(',').filter_map(|member| member.split_once('='))
    }

    /// The value under a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter()
            .find_map(|(name, value)| (name == key).then_some(value))
    }
}

#[derive(Clone, Copy, Default)]
struct Member<'a> {
    key: &'a str,
    text: &'a str,
}

impl<'a> Member<'a> {
    /// Checks one member, without surrounding whitespace, against the level 2 grammar.
    fn parse(text: &'a [u8]) -> Option<Self> {
        let equals = text.iter().position(|byte| *byte == b'=')?;
        let (key, [_, value @ ..]) = text.split_at_checked(equals)? else {
            return None;
        };
        if !is_key(key) || !is_value(value) {
            return None;
        }
        Some(Self {
            key: str::from_utf8(key).ok()?,
            text: str::from_utf8(text).ok()?,
        })
    }

    fn is_dropped(&self) -> bool {
        self.text.is_empty()
    }
}

/// Section "Key": level 2 gives the at sign no structure, unlike level 1.
fn is_key(key: &[u8]) -> bool {
    let starts_well = matches!(key, [b'a'..=b'z' | b'0'..=b'9', ..]);
    starts_well
        && key.len() <= MAX_PART_BYTES
        && key
            .iter()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@'))
}

/// Section "Value": printable ASCII without comma and equals sign, the last not a space.
fn is_value(value: &[u8]) -> bool {
    let ends_well = matches!(value, [.., 0x21..=0x7e]);
    ends_well
        && value.len() <= MAX_PART_BYTES
        && value
            .iter()
            .all(|byte| matches!(byte, 0x20..=0x7e) && !matches!(byte, b',' | b'='))
}

fn drop_repeated_keys(members: &mut [Member<'_>]) {
    let mut rest = members;
    while let [first, later @ ..] = rest {
        for member in later
            .iter_mut()
            .filter(|member| !member.is_dropped() && member.key == first.key)
        {
            *member = Member::default();
        }
        rest = later;
    }
}

fn drop_until_it_fits(members: &mut [Member<'_>]) {
    for longer_than in [LONG_MEMBER_BYTES, 0] {
        let mut length = length_of(members);
        for member in members
            .iter_mut()
            .rev()
            .filter(|member| member.text.len() > longer_than)
        {
            if length <= MAX_TRACESTATE_BYTES {
                return;
            }
            length -= member.text.len() + 1;
            *member = Member::default();
        }
    }
}

/// Length of the joined list, in bytes.
fn length_of(members: &[Member<'_>]) -> usize {
    let kept = members.iter().filter(|member| !member.is_dropped());
    kept.map(|member| member.text.len() + 1)
        .sum::<usize>()
        .saturating_sub(1)
}
