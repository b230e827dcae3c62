//! Chat chunks, completions and embeddings as JSON: the members that the gateway reads.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::loose::{self, Text, Usage};
use super::{MAX_CHOICES, MAX_ERROR_BYTES, ProviderMessage, is_told};
use crate::catalog::Operation;

/// The common part of a completion, one of its chunks, and an answer with embeddings.
#[derive(Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow, default, deserialize_with = "loose::text")]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "loose::text")]
    pub(super) model: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "choices")]
    pub(super) choices: Option<Vec<Choice<'a>>>,
    /// Of an answer with embeddings.
    #[serde(borrow, default)]
    data: Option<Member<'a>>,
    #[serde(default, deserialize_with = "loose::usage")]
    pub(super) usage: Option<Usage>,
    /// Text of a random length, against eavesdroppers who count bytes.
    #[serde(borrow, default, deserialize_with = "loose::text")]
    pub(super) obfuscation: Option<Text<'a>>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

pub(super) enum Unreadable {
    /// A JSON object with members of other types: the client may know what they are.
    Unusual,
    /// Not a JSON object.
    Garbage,
}

impl<'a> Chunk<'a> {
    pub(super) fn read(text: &'a [u8]) -> Result<Self, Unreadable> {
        if !text.trim_ascii_start().starts_with(b"{") {
            return Err(Unreadable::Garbage);
        }
        serde_json::from_slice(text).map_err(|error| {
            // Reading stops at the first unexpected type; the rest must be JSON too.
            if error.is_data() && serde_json::from_slice::<IgnoredAny>(text).is_ok() {
                Unreadable::Unusual
            } else {
                Unreadable::Garbage
            }
        })
    }
}

impl Chunk<'_> {
    /// What it says of an error. `text` is what it was read from.
    pub(super) fn error(&self, text: &[u8]) -> Option<ProviderMessage> {
        if let Some(error) = self.error {
            let Some(error) = tree(error.get().as_bytes()) else {
                return Some(ProviderMessage::default());
            };
            if is_told(&error) {
                return Some(ProviderMessage::of(&error));
            }
        }
        if self.choices.is_some() || self.data.is_some() || self.usage.is_some() {
            return None;
        }
        let whole = tree(text)?;
        (whole["object"] == "error").then(|| ProviderMessage::of(&whole))
    }

    /// Whether there is anything in it that was asked for.
    pub(super) fn answers(&self, operation: Operation) -> bool {
        match operation {
            Operation::Chat => self.choices.as_ref().is_some_and(|choices| !choices.is_empty()),
            Operation::Embeddings => matches!(self.data, Some(Member::Filled)),
        }
    }
}

/// What an error says; `None` for one too long to be made a tree of, which takes many times its bytes.
fn tree(text: &[u8]) -> Option<Value> {
    let text = Some(text).filter(|text| text.len() <= MAX_ERROR_BYTES)?;
    serde_json::from_slice(text).ok()
}

#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(default)]
    pub(super) index: Option<u32>,
    #[serde(borrow, default, deserialize_with = "loose::text")]
    pub(super) finish_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) delta: Option<Delta<'a>>,
}

/// As many choices as there can be; the rest is passed over, since three bytes of an answer would be twenty times as
/// many of ours.
fn choices<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Choice<'a>>>, D::Error> {
    struct ChoicesVisitor;
    impl<'de> Visitor<'de> for ChoicesVisitor {
        type Value = Option<Vec<Choice<'de>>>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a list")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut choices = Vec::new();
            while choices.len() < MAX_CHOICES as usize {
                let Some(choice) = seq.next_element()? else {
                    return Ok(Some(choices));
                };
                choices.push(choice);
            }
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Some(choices))
        }
    }
    deserializer.deserialize_any(ChoicesVisitor)
}

/// What a delta brings: all its members but `role`.
pub(super) struct Delta<'a> {
    /// Members that are neither null nor empty.
    pub(super) filled: u32,
    /// The last of them, where it is a text without escapes.
    pub(super) text: Option<&'a str>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Delta<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DeltaVisitor;
        impl<'de> Visitor<'de> for DeltaVisitor {
            type Value = Delta<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Delta<'de>, A::Error> {
                let mut delta = Delta {
                    filled: 0,
                    text: None,
                };
                while let Some(Text(key)) = map.next_key::<Text<'_>>()? {
                    if key == "role" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    match map.next_value::<Member<'_>>()? {
                        Member::Empty => {}
                        Member::Text(text) => delta = delta.with(Some(text)),
                        Member::Filled => delta = delta.with(None),
                    }
                }
                Ok(delta)
            }
        }
        deserializer.deserialize_map(DeltaVisitor)
    }
}

impl<'a> Delta<'a> {
    fn with(self, text: Option<&'a str>) -> Self {
        let filled = self.filled.saturating_add(1);
        Self { filled, text }
    }
}

/// What a delta's member brings.
enum Member<'a> {
    /// Null, or nothing in it.
    Empty,
    Text(&'a str),
    Filled,
}

impl Member<'_> {
    fn filled_if(condition: bool) -> Self {
        if condition { Self::Filled } else { Self::Empty }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Member<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MemberVisitor;
        impl<'de> Visitor<'de> for MemberVisitor {
            type Value = Member<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Member<'de>, E> {
                Ok(Member::Empty)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Member<'de>, E> {
                Ok(Member::Filled)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Member<'de>, E> {
                Ok(Member::Filled)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Member<'de>, E> {
                Ok(Member::Filled)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Member<'de>, E> {
                Ok(Member::Filled)
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Member<'de>, E> {
                Ok(if text.is_empty() {
                    Member::Empty
                } else {
                    Member::Text(text)
                })
            }

            fn visit_str<E>(self, text: &str) -> Result<Member<'de>, E> {
                Ok(Member::filled_if(!text.is_empty()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Member<'de>, A::Error> {
                let mut filled = false;
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    filled = true;
                }
                Ok(Member::filled_if(filled))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Member<'de>, A::Error> {
                let mut filled = false;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    filled = true;
                }
                Ok(Member::filled_if(filled))
            }
        }
        deserializer.deserialize_any(MemberVisitor)
    }
}
