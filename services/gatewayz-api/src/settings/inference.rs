//! The models that are served, to whom, and within which bounds.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gatewayz_config::{
    ExposeSecret, Group, Kind, ReadFileError, Reader, Setting, process_secret, read_text_file,
};
use gatewayz_inference::{ApiKeys, Catalog, CatalogMistakes};

use super::Environment;

/// A body may be in memory as it came and as it goes to its provider, at once.
pub const BODY_COPIES: usize = 2;
/// Longest catalog that is read, in bytes.
const CATALOG_MAX_BYTES: u64 = 1024 * 1024;

pub(super) const GROUP: Group = Group {
    title: "Inference",
    about: "The catalog is a TOML file; docs/INFERENCE.md describes it. Keys of providers are in the environment of the process, under the \
            names that the catalog gives them.",
    settings: &[
        Setting::new("CATALOG_FILE", Kind::Path, "TOML file with providers, models and prices.")
            .when_unset("in `local` the built-in provider `echo`, elsewhere `/v1` answers 503")
            .reloaded(),
        Setting::new(
            "API_KEYS_SHA256",
            Kind::Text,
            "Keys of clients as `name:hex,...`: a name for the log, and the SHA-256 of the key.",
        )
        .when_unset("open in `local`, elsewhere every call is refused")
        .secret()
        .reloaded(),
        Setting::new(
            "API_KEY_REQUESTS_PER_MINUTE",
            Kind::Integer { min: 0, max: 1_000_000 },
            "Calls of each key in a minute, and at once; 0 sets no limit.",
        )
        .default_value("0")
        .reloaded(),
        Setting::new(
            "INFERENCE_BODY_MAX_BYTES",
            Kind::Bytes { min: 1 << 10, max: 256 << 20 },
            "Longest body of a call.",
        )
        .default_value("32MiB"),
        Setting::new(
            "INFERENCE_BODIES_MAX_BYTES",
            Kind::Bytes { min: 1 << 10, max: 16 << 30 },
            "All bodies of calls together, from their first byte until their answers begin; a body that finds no room \
             is refused with 503. Each counts twice, as it came and as it goes to its provider, without its first \
             64 KiB. At least twice `INFERENCE_BODY_MAX_BYTES` is used.",
        )
        .default_value("64MiB"),
        Setting::new(
            "INFERENCE_ANSWERS_MAX_BYTES",
            Kind::Bytes { min: 1 << 10, max: 16 << 30 },
            "All answers in one piece together, from their first byte until they are sent; an answer that finds no \
             room is refused with 503. The first 64 KiB of each are not counted, and none is longer than 64 MiB.",
        )
        .default_value("64MiB"),
        Setting::new(
            "INFERENCE_CACHE_BYTES",
            Kind::Bytes { min: 0, max: 16 << 30 },
            "Answers kept for models whose catalog entry has a cache.",
        )
        .default_value("64MiB"),
        Setting::new(
            "INFERENCE_KEEP_ALIVE",
            Kind::Duration { min: Duration::ZERO, max: Duration::from_secs(300) },
            "Silence in a stream that has begun after which a comment is sent, so that proxies keep the connection; 0 \
             sends none. A stream begins with its first event: until then another provider may still be tried.",
        )
        .default_value("15"),
    ],
};

/// The inference gateway.
#[derive(Debug, Clone)]
pub struct InferenceSettings {
    /// The checked catalog; `None` answers 503.
    pub catalog: Option<Catalog>,
    /// Where it came from; `None` for the built-in one.
    pub catalog_file: Option<PathBuf>,
    /// Keys of clients, replaced in place by a reload.
    pub api_keys: Arc<ApiKeys>,
    /// Without keys anyone may call.
    pub open_without_keys: bool,
    /// Longest body of a call.
    pub body_max_bytes: usize,
    /// All bodies together.
    pub bodies_max_bytes: usize,
    /// All answers in one piece together.
    pub answers_max_bytes: usize,
    /// Answers kept.
    pub cache_bytes: u64,
    /// Silence after which a comment is sent; `None` for never.
    pub keep_alive: Option<Duration>,
}

/// Why a catalog cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The file cannot be used.
    #[error(transparent)]
    Read(#[from] ReadFileError),
    /// What it says cannot be used.
    #[error("{0}")]
    Mistakes(CatalogMistakes),
}

impl InferenceSettings {
    pub(super) fn read(reader: &mut Reader<'_>, environment: Environment) -> Self {
        let is_local = environment == Environment::Local;
        let catalog_file = reader.path("CATALOG_FILE");
        let catalog = match &catalog_file {
            Some(path) => load_catalog(path).map_err(|error| report(reader, error)).ok(),
            None => is_local.then(Catalog::echo),
        };
        let per_minute = u32::try_from(reader.integer("API_KEY_REQUESTS_PER_MINUTE"));
        let per_minute = per_minute.ok().and_then(NonZeroU32::new);
        let keys = reader.secret("API_KEYS_SHA256");
        let entries = keys.as_ref().map_or("", |keys| keys.expose_secret());
        let api_keys = ApiKeys::parse(entries, per_minute).or_else(|error| {
            reader.mistake("API_KEYS_SHA256", format!("is not a list of keys: {error}"));
            ApiKeys::parse("", None)
        });
        let keep_alive = reader.duration("INFERENCE_KEEP_ALIVE");
        let body_max_bytes = reader.size("INFERENCE_BODY_MAX_BYTES");
        Self {
            catalog,
            catalog_file,
            api_keys: Arc::new(api_keys.unwrap_or_default()),
            open_without_keys: is_local,
            body_max_bytes,
            bodies_max_bytes: reader
                .size("INFERENCE_BODIES_MAX_BYTES")
                .max(body_max_bytes.saturating_mul(BODY_COPIES)),
            answers_max_bytes: reader.size("INFERENCE_ANSWERS_MAX_BYTES"),
            cache_bytes: reader.size("INFERENCE_CACHE_BYTES") as u64,
            keep_alive: (!keep_alive.is_zero()).then_some(keep_alive),
        }
    }
}

fn report(reader: &mut Reader<'_>, error: CatalogError) {
    match error {
        CatalogError::Mistakes(mistakes) => {
            for mistake in mistakes.iter() {
                reader.mistake(
                    "CATALOG_FILE",
                    format!("names a catalog with a mistake in {mistake}"),
                );
            }
        }
        CatalogError::Read(_) => {
            reader.mistake("CATALOG_FILE", format!("names a file that {error}"));
        }
    }
}

/// Reads and checks a catalog, with the keys of its providers from the environment of the process.
///
/// # Errors
/// When the file cannot be read, or every mistake in it.
pub fn load_catalog(path: &Path) -> Result<Catalog, CatalogError> {
    let text = read_text_file(path, CATALOG_MAX_BYTES)?;
    Catalog::parse(&text, process_secret).map_err(CatalogError::Mistakes)
}
