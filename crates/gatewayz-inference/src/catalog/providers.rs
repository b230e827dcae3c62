//! The `[[providers]]` of a catalog.

use std::collections::HashMap;

use gatewayz_config::is_private_host;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::section::{Section, Source};
use super::{ProviderEntry, ProviderKind, SELF_TEST, Timeouts, is_name};

const MAX_PROVIDERS: usize = 50;
const MAX_NAME_BYTES: usize = 64;

/// Positions by name, also of entries with mistakes, so that one mistake is not reported twice.
pub(super) type Names = HashMap<String, usize>;

pub(super) fn read(
    sections: Vec<Section<'_, '_>>,
    source: &mut Source<'_>,
    key: &impl Fn(&str) -> Option<SecretString>,
) -> (Names, Vec<ProviderEntry>) {
    if let Some(section) = sections.get(MAX_PROVIDERS) {
        let problem = format!("is more than {MAX_PROVIDERS} providers");
        source.mistakes.push(section.line, section.place.clone(), problem);
    }
    let mut names = Names::new();
    let mut providers = Vec::new();
    for (position, mut section) in sections.into_iter().take(MAX_PROVIDERS).enumerate() {
        let name = name(&mut section, source);
        if let Some(name) = name
            && names.insert(name.to_owned(), position).is_some()
        {
            section.mistake(source, "name", "is taken by another provider");
        }
        let kind = kind(&mut section, source, key);
        let timeouts = timeouts(&mut section, source);
        section.refuse_unknown_keys(source);
        if let (Some(name), Some(kind)) = (name, kind) {
            providers.push(ProviderEntry {
                name: name.into(),
                kind,
                timeouts,
            });
        }
    }
    (names, providers)
}

fn name<'s>(section: &mut Section<'s, '_>, source: &mut Source<'_>) -> Option<&'s str> {
    let name = section.required_text(source, "name")?;
    if !is_name(name, MAX_NAME_BYTES, "") {
        section.mistake(source, "name", "expected 1 to 64 letters, digits and ._-");
        return None;
    }
    if name == SELF_TEST {
        section.mistake(source, "name", "is reserved");
        return None;
    }
    Some(name)
}

fn kind(
    section: &mut Section<'_, '_>,
    source: &mut Source<'_>,
    key: &impl Fn(&str) -> Option<SecretString>,
) -> Option<ProviderKind> {
    match section.required_text(source, "kind")? {
        "echo" => Some(ProviderKind::Echo),
        "openai" => {
            let base_url = section.required_text(source, "base_url");
            let api_key = section.text(source, "api_key_env");
            let probe = section.flag(source, "probe").unwrap_or(true);
            let api_key = match api_key {
                Some(variable) => Some(found_key(section, source, key(variable))?),
                None => None,
            };
            let base_url = read_base_url(section, source, base_url?, api_key.is_some())?;
            Some(ProviderKind::OpenAi {
                base_url,
                api_key,
                probe,
            })
        }
        _ => {
            section.mistake(source, "kind", "expected openai or echo");
            None
        }
    }
}

fn found_key(
    section: &Section<'_, '_>,
    source: &mut Source<'_>,
    key: Option<SecretString>,
) -> Option<SecretString> {
    let Some(key) = key.filter(|key| !key.expose_secret().is_empty()) else {
        section.mistake(source, "api_key_env", "names a variable that is not set");
        return None;
    };
    if !key.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
        section.mistake(
            source,
            "api_key_env",
            "names a variable whose value no header can carry",
        );
        return None;
    }
    Some(key)
}

fn read_base_url(
    section: &Section<'_, '_>,
    source: &mut Source<'_>,
    text: &str,
    has_key: bool,
) -> Option<Url> {
    let problem = match Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
            "expected an http or https URL with a host"
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "holds credentials; name their variable in api_key_env"
        }
        Ok(url) if url.fragment().is_some() => "holds a fragment",
        Ok(url) if url.scheme() == "http" && has_key && !is_private_host(&url) => {
            "would send the API key unencrypted to a public host; use https"
        }
        Ok(url) => return Some(url),
        Err(_) => "expected an http or https URL with a host",
    };
    section.mistake(source, "base_url", problem);
    None
}

fn timeouts(section: &mut Section<'_, '_>, source: &mut Source<'_>) -> Timeouts {
    let defaults = Timeouts::default();
    let Some(mut section) = section.section(source, "timeouts") else {
        return defaults;
    };
    let mut read = |key, default| section.seconds(source, key).unwrap_or(default);
    let timeouts = Timeouts {
        connect: read("connect_seconds", defaults.connect),
        first_byte: read("first_byte_seconds", defaults.first_byte),
        idle: read("idle_seconds", defaults.idle),
        total: read("total_seconds", defaults.total),
        stream_total: read("stream_total_seconds", defaults.stream_total),
    };
    section.refuse_unknown_keys(source);
    timeouts
}
