//! One text for all bodies that mean the same request: keys in order, strings unescaped, no white space.
//!
//! Numbers stay as they are written: read as floats, two large seeds would become one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Members that do not change the answer.
const IGNORED: [&str; 4] = ["metadata", "stream", "stream_options", "user"];

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The canonical text of a body, without `model` and what does not change the answer. `None` when an object has a
/// key twice: what it means is up to the reader.
pub(crate) fn canonical(body: &str) -> Option<String> {
    let mut members: BTreeMap<Key<'_>, &RawValue> = members(body)?;
    members.retain(|Key(key), _| key != "model" && !IGNORED.contains(&key.as_ref()));
    let mut out = String::with_capacity(body.len());
    write_members(&members, &mut out)?;
    Some(out)
}

fn write_value(value: &str, out: &mut String) -> Option<()> {
    match value.as_bytes().first()? {
        b'{' => write_members(&members(value)?, out)?,
        b'[' => {
            let elements: Vec<&RawValue> = serde_json::from_str(value).ok()?;
            out.push('[');
            for element in elements {
                write_value(element.get(), out)?;
                out.push(',');
            }
            out.push(']');
        }
        b'"' => write_text(&serde_json::from_str::<Key<'_>>(value).ok()?.0, out),
        _ => out.push_str(value),
    }
    Some(())
}

fn write_members(members: &BTreeMap<Key<'_>, &RawValue>, out: &mut String) -> Option<()> {
    out.push('{');
    for (Key(key), value) in members {
        write_text(key, out);
        out.push(':');
        write_value(value.get(), out)?;
        out.push(',');
    }
    out.push('}');
    Some(())
}

/// The length keeps a text that looks like JSON from being taken for it.
fn write_text(text: &str, out: &mut String) {
    out.push('"');
    out.push_str(&text.len().to_string());
    out.push(':');
    out.push_str(text);
}

fn members(object: &str) -> Option<BTreeMap<Key<'_>, &RawValue>> {
    let Members(members) = serde_json::from_str(object).ok()?;
    members
}

/// `None` inside when a key is there twice.
struct Members<'a>(Option<BTreeMap<Key<'a>, &'a RawValue>>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> serde::de::Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = BTreeMap::new();
        let mut repeated = false;
        while let Some((key, value)) = map.next_entry::<Key<'de>, &RawValue>()? {
            repeated |= members.insert(key, value).is_some();
        }
        Ok(Members((!repeated).then_some(members)))
    }
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[track_caller]
    fn same(one: &str, other: &str, expected: bool) {
        let (one, other) = (canonical(one).unwrap(), canonical(other).unwrap());
        assert_eq!(one == other, expected, "{one}\n{other}");
    }

    #[test]
    fn order_white_space_and_escapes_do_not_count() {
        same(
            r#"{"a":1,"b":{"c":"é","d":[1,2]}}"#,
            "{ \"b\" : {\"d\":[1, 2],\"c\":\"\\u00e9\"},\n\"a\":1}",
            true,
        );
    }

    #[test]
    fn what_does_not_change_the_answer_does_not_count() {
        same(
            r#"{"a":1,"model":"x","stream":true,"stream_options":{},"user":"u","metadata":{"k":"v"}}"#,
            r#"{"a":1}"#,
            true,
        );
        same(r#"{"a":{"user":"u"}}"#, r#"{"a":{}}"#, false);
    }

    #[test]
    fn large_numbers_stay_apart() {
        same(
            r#"{"seed":12345678901234567890}"#,
            r#"{"seed":12345678901234567891}"#,
            false,
        );
    }

    #[test]
    fn a_text_is_not_taken_for_structure() {
        same(r#"{"a":["1:x,","y"]}"#, r#"{"a":["1:x,\"1:y"]}"#, false);
        same(r#"{"a":"[1]"}"#, r#"{"a":[1]}"#, false);
        same(r#"{"a":["b","c"]}"#, r#"{"a":[["b"],"c"]}"#, false);
    }

    #[test]
    fn a_repeated_key_has_no_meaning() {
        assert_eq!(canonical(r#"{"a":{"b":1,"b":2}}"#), None);
    }
}
