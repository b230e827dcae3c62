//! The catalog: providers, models, candidates and prices, read from TOML and checked as a whole.

mod mistakes;
mod models;
mod providers;
mod section;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use toml::de::DeTable;
use url::Url;

pub use mistakes::{CatalogMistake, CatalogMistakes};

use crate::pricing::Prices;
use section::{Section, Source};

/// Reserved name of the provider, model and cache of the gateway's test of itself.
pub const SELF_TEST: &str = "selftest";

/// Providers and models that can be called. Made valid, or not at all.
///
/// ```
/// # use gatewayz_inference::Catalog;
/// let catalog = Catalog::parse(
///     r#"
/// [[providers]]
/// name = "openai"
/// kind = "openai"                              # or "echo", which is built in
/// base_url = "https://api.openai.com/v1"
/// api_key_env = "OPENAI_API_KEY"               # left out where no key is needed
/// probe = true                                 # GET {base_url}/models tells whether it is there
/// timeouts = { connect_seconds = 5, first_byte_seconds = 60, idle_seconds = 60, total_seconds = 290, stream_total_seconds = 600 }
///
/// [[models]]
/// id = "gpt-4.1-mini"
/// kind = "chat"                                # or "embeddings"
/// cache = { ttl_seconds = 300, always = false } # always: also without temperature 0 or a seed
///
/// [[models.candidates]]
/// provider = "openai"
/// model = "gpt-4.1-mini-2025-04-14"            # the provider's name of it
/// order = 1                                    # lower first; the place in the list where it is left out
/// weight = 1                                   # share among those of the same order
/// price = { input = 0.40, cached_input = 0.10, output = 1.60 } # US dollars per million tokens
/// "#,
///     |variable| (variable == "OPENAI_API_KEY").then(|| "sk-...".into()),
/// )?;
/// assert_eq!(catalog.model_ids().collect::<Vec<_>>(), ["gpt-4.1-mini"]);
/// # Ok::<(), gatewayz_inference::CatalogMistakes>(())
/// ```
#[derive(Debug, Clone)]
pub struct Catalog {
    pub(crate) providers: Vec<ProviderEntry>,
    pub(crate) models: Vec<ModelEntry>,
}

/// One provider of the catalog.
#[derive(Debug, Clone)]
pub(crate) struct ProviderEntry {
    pub(crate) name: Arc<str>,
    pub(crate) kind: ProviderKind,
    pub(crate) timeouts: Timeouts,
}

/// How a provider is reached.
#[derive(Debug, Clone)]
pub(crate) enum ProviderKind {
    /// Inside this process: repeats what it is told.
    Echo,
    /// Speaks OpenAI's HTTP API.
    OpenAi {
        base_url: Url,
        api_key: Option<SecretString>,
        /// Whether `GET {base_url}/models` tells if it is there.
        probe: bool,
    },
}

/// How long a provider may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// To a connection, TLS included.
    pub(crate) connect: Duration,
    /// From sending a request for a stream to its first event.
    pub(crate) first_byte: Duration,
    /// Between two pieces of an answer.
    pub(crate) idle: Duration,
    /// From the start of the call to the end of an answer in one piece. Node's fetch gives up after 300 s without
    /// headers, so it stays below.
    pub(crate) total: Duration,
    /// From the start of the call to the end of a stream.
    pub(crate) stream_total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(290),
            stream_total: Duration::from_secs(600),
        }
    }
}

/// What a model is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Chat,
    Embeddings,
}

/// One model of the catalog.
#[derive(Debug, Clone)]
pub(crate) struct ModelEntry {
    pub(crate) id: Arc<str>,
    pub(crate) operation: Operation,
    pub(crate) cache: Option<CachePolicy>,
    /// Never empty; in the order of the file.
    pub(crate) candidates: Vec<CandidateEntry>,
}

/// How answers of a model are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CachePolicy {
    pub(crate) ttl: Duration,
    /// Also where the request asks for neither temperature 0 nor a seed.
    pub(crate) always: bool,
}

/// A place where a model can be called.
#[derive(Debug, Clone)]
pub(crate) struct CandidateEntry {
    /// Position in [`Catalog::providers`].
    pub(crate) provider: usize,
    /// The provider's name of the model.
    pub(crate) model: Arc<str>,
    /// Lower ones first; those of the same order share by weight.
    pub(crate) order: u32,
    pub(crate) weight: u32,
    pub(crate) prices: Prices,
}

impl Catalog {
    /// Reads and checks a whole file. `key` finds the value of an environment variable.
    ///
    /// # Errors
    /// Every mistake at once, by line and place; none holds a value of the file or a key.
    pub fn parse(text: &str, key: impl Fn(&str) -> Option<SecretString>) -> Result<Self, CatalogMistakes> {
        let mut source = Source::new(text);
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let line = error.span().map_or(1, |span| source.line(span.start));
            source
                .mistakes
                .push(line, "", format!("is not TOML: {}", error.message()));
        }
        if !errors.is_empty() {
            return Err(source.mistakes);
        }

        let mut root = Section::new(document.get_ref(), String::new(), 1);
        let (names, providers) = providers::read(root.sections(&mut source, "providers"), &mut source, &key);
        let models = models::read(root.sections(&mut source, "models"), &mut source, &names);
        if providers.is_empty() {
            source.mistakes.push(1, "providers", "has no usable entry");
        }
        if models.is_empty() {
            source.mistakes.push(1, "models", "has no usable entry");
        }
        root.refuse_unknown_keys(&mut source);
        if !source.mistakes.is_empty() {
            source.mistakes.sort();
            return Err(source.mistakes);
        }
        Ok(Self { providers, models })
    }

    /// What works with no file and no network: provider `echo` with the models `echo` and `echo-embed`.
    #[must_use]
    pub fn echo() -> Self {
        let model = |id: &str, operation| ModelEntry {
            id: id.into(),
            operation,
            cache: None,
            candidates: vec![CandidateEntry {
                provider: 0,
                model: id.into(),
                order: 1,
                weight: 1,
                prices: Prices::default(),
            }],
        };
        Self {
            providers: vec![ProviderEntry {
                name: "echo".into(),
                kind: ProviderKind::Echo,
                timeouts: Timeouts::default(),
            }],
            models: vec![
                model("echo", Operation::Chat),
                model("echo-embed", Operation::Embeddings),
            ],
        }
    }

    /// The ids clients may name.
    pub fn model_ids(&self) -> impl Iterator<Item = &str> {
        self.models.iter().map(|model| &*model.id)
    }

    /// The names of the providers.
    pub fn provider_names(&self) -> impl Iterator<Item = &str> {
        self.providers.iter().map(|provider| &*provider.name)
    }
}

impl Operation {
    /// The word of `gen_ai.operation.name` and of the catalog.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embeddings => "embeddings",
        }
    }
}

/// Whether `text` may become a label: 1 to `max` letters, digits and `._-`, or one of `further`.
fn is_name(text: &str, max: usize, further: &str) -> bool {
    let known =
        |symbol: char| symbol.is_ascii_alphanumeric() || "._-".contains(symbol) || further.contains(symbol);
    (1..=max).contains(&text.len()) && text.chars().all(known)
}

#[cfg(test)]
mod tests;
