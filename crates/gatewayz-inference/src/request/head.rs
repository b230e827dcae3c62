//! The members of a body that are read, each kept as the text it is.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::RequestError;

/// The members that routing needs.
#[derive(Default)]
pub(super) struct Head<'a> {
    pub(super) model: Option<&'a RawValue>,
    pub(super) stream: Option<&'a RawValue>,
    pub(super) stream_options: Option<&'a RawValue>,
    pub(super) messages: Option<&'a RawValue>,
    pub(super) input: Option<&'a RawValue>,
    pub(super) temperature: Option<&'a RawValue>,
    pub(super) seed: Option<&'a RawValue>,
    repeated: Option<&'static str>,
}

/// The member of `stream_options` that is read.
#[derive(Default)]
pub(super) struct StreamOptions<'a> {
    pub(super) include_usage: Option<&'a RawValue>,
    repeated: Option<&'static str>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum HeadField {
    Model,
    Stream,
    StreamOptions,
    Messages,
    Input,
    Temperature,
    Seed,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum OptionsField {
    IncludeUsage,
    #[serde(other)]
    Other,
}

impl<'a> Head<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, RequestError> {
        let head: Self = serde_json::from_str(text).map_err(|error| match error.classify() {
            Category::Data => RequestError::new(None, "The request body must be a JSON object."),
            Category::Syntax | Category::Eof | Category::Io => {
                let (line, column) = (error.line(), error.column());
                let message = format!("The request body is not valid JSON (line {line}, column {column}).");
                RequestError::new(None, message)
            }
        })?;
        refuse_repeated(head.repeated)?;
        Ok(head)
    }
}

impl<'a> StreamOptions<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, RequestError> {
        let options: Self = serde_json::from_str(text).map_err(|_| {
            RequestError::new(
                Some("stream_options"),
                "The stream_options parameter must be an object.",
            )
        })?;
        refuse_repeated(options.repeated)?;
        Ok(options)
    }
}

/// Readers disagree which of two equal keys counts, so the provider might see another request than we did.
fn refuse_repeated(param: Option<&'static str>) -> Result<(), RequestError> {
    match param {
        Some(param) => Err(RequestError::new(
            Some(param),
            format!("The body has {param} more than once."),
        )),
        None => Ok(()),
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Head<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeadVisitor)
    }
}

struct HeadVisitor;

impl<'de> Visitor<'de> for HeadVisitor {
    type Value = Head<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Head<'de>, A::Error> {
        let mut head = Head::default();
        while let Some(field) = map.next_key()? {
            let (place, name) = match field {
                HeadField::Model => (&mut head.model, "model"),
                HeadField::Stream => (&mut head.stream, "stream"),
                HeadField::StreamOptions => (&mut head.stream_options, "stream_options"),
                HeadField::Messages => (&mut head.messages, "messages"),
                HeadField::Input => (&mut head.input, "input"),
                HeadField::Temperature => (&mut head.temperature, "temperature"),
                HeadField::Seed => (&mut head.seed, "seed"),
                HeadField::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if place.replace(map.next_value()?).is_some() {
                head.repeated = Some(name);
            }
        }
        Ok(head)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for StreamOptions<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OptionsVisitor)
    }
}

struct OptionsVisitor;

impl<'de> Visitor<'de> for OptionsVisitor {
    type Value = StreamOptions<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StreamOptions<'de>, A::Error> {
        let mut options = StreamOptions::default();
        while let Some(field) = map.next_key()? {
            match field {
                OptionsField::IncludeUsage => {
                    if options.include_usage.replace(map.next_value()?).is_some() {
                        options.repeated = Some("stream_options");
                    }
                }
                OptionsField::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(options)
    }
}
