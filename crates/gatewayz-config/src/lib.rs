#![doc = include_str!("../README.md")]
//! Layered settings: one schema table drives loading, errors, display and documentation.

mod digest;
mod files;
mod layer;
mod loader;
mod markdown;
mod mistakes;
mod names;
mod parse;
mod reader;
mod schema;
mod urls;
mod values;

pub use digest::sha256_from_hex;
pub use files::{ReadFileError, read_secret_file, read_text_file};
pub use layer::Source;
pub use loader::{CONFIG_FILE, ENV_DIRECTORY, ENV_FILE, ENVIRONMENT, Loader, process_secret};
pub use markdown::markdown;
pub use mistakes::{Mistake, Mistakes, Warning};
pub use parse::percent_decoded;
pub use reader::Reader;
pub use schema::{Group, Kind, Schema, Setting};
pub use secrecy::{ExposeSecret, SecretString};
pub use url::Url;
pub use urls::{is_private_host, redacted_url};
pub use values::{Described, Values};
