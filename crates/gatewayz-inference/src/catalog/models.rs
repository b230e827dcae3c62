//! The `[[models]]` of a catalog.

use std::collections::HashSet;
use std::time::Duration;

use super::providers::Names;
use super::section::{Section, Source};
use super::{CachePolicy, CandidateEntry, ModelEntry, Operation, SELF_TEST, is_name};
use crate::pricing::{Prices, TokenPrice};

const MAX_MODELS: usize = 500;
const MAX_CANDIDATES: usize = 10;
const MAX_ID_BYTES: usize = 128;
const MAX_UPSTREAM_BYTES: usize = 256;
const DEFAULT_TTL: Duration = Duration::from_secs(300);

pub(super) fn read(
    sections: Vec<Section<'_, '_>>,
    source: &mut Source<'_>,
    providers: &Names,
) -> Vec<ModelEntry> {
    if let Some(section) = sections.get(MAX_MODELS) {
        let problem = format!("is more than {MAX_MODELS} models");
        source.mistakes.push(section.line, section.place.clone(), problem);
    }
    let mut ids = HashSet::new();
    let mut models = Vec::new();
    for mut section in sections.into_iter().take(MAX_MODELS) {
        let id = id(&mut section, source);
        if let Some(id) = id
            && !ids.insert(id)
        {
            section.mistake(source, "id", "is taken by another model");
        }
        let operation = operation(&mut section, source);
        let cache = cache(&mut section, source);
        let candidates = candidates(&mut section, source, providers);
        section.refuse_unknown_keys(source);
        if let (Some(id), Some(operation)) = (id, operation)
            && !candidates.is_empty()
        {
            models.push(ModelEntry {
                id: id.into(),
                operation,
                cache,
                candidates,
            });
        }
    }
    models
}

fn id<'s>(section: &mut Section<'s, '_>, source: &mut Source<'_>) -> Option<&'s str> {
    let id = section.required_text(source, "id")?;
    if !is_name(id, MAX_ID_BYTES, ":/@") {
        section.mistake(source, "id", "expected 1 to 128 letters, digits and ._-:/@");
        return None;
    }
    if id == SELF_TEST {
        section.mistake(source, "id", "is reserved");
        return None;
    }
    Some(id)
}

fn operation(section: &mut Section<'_, '_>, source: &mut Source<'_>) -> Option<Operation> {
    match section.text(source, "kind") {
        None | Some("chat") => Some(Operation::Chat),
        Some("embeddings") => Some(Operation::Embeddings),
        Some(_) => {
            section.mistake(source, "kind", "expected chat or embeddings");
            None
        }
    }
}

fn cache(section: &mut Section<'_, '_>, source: &mut Source<'_>) -> Option<CachePolicy> {
    let mut section = section.section(source, "cache")?;
    let enabled = section.flag(source, "enabled").unwrap_or(true);
    let ttl = section.seconds(source, "ttl_seconds");
    let always = section.flag(source, "always").unwrap_or(false);
    section.refuse_unknown_keys(source);
    enabled.then(|| CachePolicy {
        ttl: ttl.unwrap_or(DEFAULT_TTL),
        always,
    })
}

fn candidates(
    section: &mut Section<'_, '_>,
    source: &mut Source<'_>,
    providers: &Names,
) -> Vec<CandidateEntry> {
    let line = section.line;
    let sections = section.sections(source, "candidates");
    let place = format!("{}.candidates", section.place);
    if sections.is_empty() {
        source
            .mistakes
            .push(line, place.clone(), "has no entry: where is the model called?");
    }
    if let Some(section) = sections.get(MAX_CANDIDATES) {
        let problem = format!("is more than {MAX_CANDIDATES} candidates");
        source.mistakes.push(section.line, section.place.clone(), problem);
    }
    let mut candidates: Vec<CandidateEntry> = Vec::new();
    for (position, section) in (1..).zip(sections.into_iter().take(MAX_CANDIDATES)) {
        let (line, place) = (section.line, section.place.clone());
        let Some(candidate) = candidate(section, source, providers, position) else {
            continue;
        };
        // Metrics and breakers tell the candidates of a model apart by provider alone.
        if candidates
            .iter()
            .any(|other| other.provider == candidate.provider)
        {
            source.mistakes.push(
                line,
                place,
                "names a provider that another candidate of the model names",
            );
            continue;
        }
        candidates.push(candidate);
    }
    candidates
}

fn candidate(
    mut section: Section<'_, '_>,
    source: &mut Source<'_>,
    providers: &Names,
    position: u32,
) -> Option<CandidateEntry> {
    let provider = section.required_text(source, "provider");
    let model = section.required_text(source, "model");
    let order = section.count(source, "order").unwrap_or(position);
    let weight = section.count(source, "weight").unwrap_or(1);
    let prices = prices(&mut section, source);
    let provider = provider.and_then(|name| {
        let found = providers.get(name).copied();
        if found.is_none() {
            section.mistake(source, "provider", "is not one of the providers");
        }
        found
    });
    let model = model.filter(|model| {
        let fits = (1..=MAX_UPSTREAM_BYTES).contains(&model.len()) && !model.chars().any(char::is_control);
        if !fits {
            section.mistake(source, "model", "expected 1 to 256 characters");
        }
        fits
    });
    section.refuse_unknown_keys(source);
    Some(CandidateEntry {
        provider: provider?,
        model: model?.into(),
        order,
        weight,
        prices,
    })
}

fn prices(section: &mut Section<'_, '_>, source: &mut Source<'_>) -> Prices {
    let Some(mut section) = section.section(source, "price") else {
        return Prices::default();
    };
    let mut price = |key| {
        let decimal = section.decimal(key)?;
        match decimal.map(TokenPrice::per_million) {
            Some(Ok(price)) => Some(price),
            Some(Err(error)) => {
                section.mistake(source, key, &error.to_string());
                None
            }
            None => {
                section.mistake(source, key, &crate::pricing::PriceError.to_string());
                None
            }
        }
    };
    let input = price("input").unwrap_or_default();
    let prices = Prices {
        input,
        cached_input: price("cached_input").unwrap_or(input),
        output: price("output").unwrap_or_default(),
    };
    section.refuse_unknown_keys(source);
    prices
}
