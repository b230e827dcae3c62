//! Members of an answer that may be of any type, read without a tree of them, which would be a tenth of a call.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::pricing::Tokens;

/// More tokens than this in one call are not believed.
const MAX_TOKENS: u64 = 1_000_000_000;

#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// A text; `None` for anything else, which must not hide the rest of the answer.
pub(super) fn text<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Text<'a>>, D::Error> {
    Ok(match Loose::deserialize(deserializer)? {
        Loose::Text(text) => Some(Text(text)),
        Loose::Count(_) | Loose::Usage(_) | Loose::Other => None,
    })
}

/// A report; `None` for anything else.
pub(super) fn usage<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Usage>, D::Error> {
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

/// Whatever a provider writes.
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
                        "cached_tokens" => {
                            let count = map.next_value::<Loose<'_>>()?.count();
                            usage.cached = usage.cached.or(count);
                        }
                        "prompt_tokens_details" => {
                            if let Loose::Usage(details) = map.next_value()? {
                                usage.cached = details.cached.or(usage.cached);
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
