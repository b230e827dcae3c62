//! Chat chunks, completions and embeddings as JSON: the members that the gateway reads.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{ProviderMessage, is_told};
use crate::catalog::Operation;
use crate::pricing::Tokens;

/// More tokens than this in one call are not believed.
const MAX_TOKENS: u64 = 1_000_000_000;

/// The common part of a completion, one of its chunks, and an answer with embeddings.
#[derive(Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow, default, deserialize_with = "text")]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub(super) model: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) choices: Option<Vec<Choice<'a>>>,
    /// Of an answer with embeddings.
    #[serde(borrow, default)]
    data: Option<Member<'a>>,
    #[serde(default, deserialize_with = "usage")]
    pub(super) usage: Option<Usage>,
    /// Text of a random length, against eavesdroppers who count bytes.
    #[serde(borrow, default, deserialize_with = "text")]
    pub(super) obfuscation: Option<Text<'a>>,
    #[serde(default)]
    error: Value,
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
    pub(super) fn take_error(&mut self, text: &[u8]) -> Option<ProviderMessage> {
        let error = std::mem::take(&mut self.error);
        if is_told(&error) {
            return Some(ProviderMessage::of(&error));
        }
        if self.choices.is_some() || self.data.is_some() || self.usage.is_some() {
            return None;
        }
        let whole: Value = serde_json::from_slice(text).ok()?;
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

#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(default)]
    pub(super) index: Option<u32>,
    #[serde(borrow, default, deserialize_with = "text")]
    pub(super) finish_reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) delta: Option<Delta<'a>>,
}

#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// A text; `None` for anything else, which must not hide the rest of the answer.
fn text<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Text<'a>>, D::Error> {
    Ok(match Loose::deserialize(deserializer)? {
        Loose::Text(text) => Some(Text(text)),
        Loose::Count(_) | Loose::Usage(_) | Loose::Other => None,
    })
}

/// A report; `None` for anything else.
fn usage<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Usage>, D::Error> {
    Ok(match Loose::deserialize(deserializer)? {
        Loose::Usage(usage) => Some(usage),
        Loose::Text(_) | Loose::Count(_) | Loose::Other => None,
    })
}

/// The counts of a report, or of its details.
#[derive(Default)]
pub(super) struct Usage {
    input: Option<u64>,
    cached: Option<u64>,
    output: Option<u64>,
}

impl Usage {
    pub(super) fn tokens(self) -> Option<Tokens> {
        let tokens = Tokens {
            input: self.input?,
            cached: self.cached.unwrap_or(0),
            output: self.output.unwrap_or(0),
        };
        let largest = tokens.input.max(tokens.output).max(tokens.cached);
        (largest <= MAX_TOKENS).then_some(tokens)
    }
}

/// Whatever a provider writes, read without a tree of it, which would be a tenth of a call.
enum Loose<'a> {
    Text(Cow<'a, str>),
    /// Some providers write counts as `7.0`.
    Count(u64),
    /// An object, by what it says of tokens.
    Usage(Usage),
    Other,
}

impl Loose<'_> {
    fn count(self) -> Option<u64> {
        match self {
            Self::Count(count) => Some(count),
            Self::Text(_) | Self::Usage(_) | Self::Other => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LooseVisitor;
        impl<'de> Visitor<'de> for LooseVisitor {
            type Value = Loose<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Loose<'de>, E> {
                Ok(Loose::Other)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Loose<'de>, E> {
                Ok(Loose::Other)
            }

            fn visit_u64<E>(self, number: u64) -> Result<Loose<'de>, E> {
                Ok(Loose::Count(number))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Loose<'de>, E> {
                Ok(Loose::Other)
            }

            fn visit_f64<E>(self, number: f64) -> Result<Loose<'de>, E> {
                let is_count = number.fract() == 0.0 && (0.0..=MAX_TOKENS as f64).contains(&number);
                Ok(if is_count {
                    Loose::Count(number as u64)
                } else {
                    Loose::Other
                })
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Loose<'de>, E> {
                Ok(Loose::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Loose<'de>, E> {
                Ok(Loose::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Loose<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Loose::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Loose<'de>, A::Error> {
                let mut usage = Usage::default();
                while let Some(Text(key)) = map.next_key::<Text<'_>>()? {
                    match &*key {
                        "prompt_tokens" => usage.input = map.next_value::<Loose<'_>>()?.count(),
                        "completion_tokens" => usage.output = map.next_value::<Loose<'_>>()?.count(),
                        "cached_tokens" => usage.cached = map.next_value::<Loose<'_>>()?.count(),
                        "prompt_tokens_details" => {
                            if let Loose::Usage(details) = map.next_value()? {
                                usage.cached = details.cached;
                            }
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(Loose::Usage(usage))
            }
        }
        deserializer.deserialize_any(LooseVisitor)
    }
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
