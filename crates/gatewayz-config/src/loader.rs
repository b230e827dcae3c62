//! Loading: defaults < config file < env file < environment of the process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use config::{Config, Source as _, Value, ValueKind};
use secrecy::SecretString;

use crate::files::ReadFileError;
use crate::layer::{Findings, Layer};
use crate::parse::{Parsed, parse};
use crate::values::{Entry, Values};
use crate::{Kind, Mistake, Schema, Setting, Source, read_secret_file};

/// Names the TOML file, in the environment of the process alone.
pub const CONFIG_FILE: &str = "CONFIG_FILE";
/// Names the env file, in the environment of the process alone.
pub const ENV_FILE: &str = "ENV_FILE";
/// Chooses the env file when `ENV_FILE` does not; in the environment of the process alone.
pub const ENVIRONMENT: &str = "ENVIRONMENT";
/// Where the env files of the environments are, under the working directory.
pub const ENV_DIRECTORY: &str = "deploy/env";

/// Reads all layers once.
///
/// The config file and the env file are layers only when the schema declares
/// [`CONFIG_FILE`], and [`ENV_FILE`] or [`ENVIRONMENT`].
#[derive(Debug)]
pub struct Loader {
    schema: &'static Schema,
    process: Vec<(OsString, OsString)>,
    working_directory: PathBuf,
}

impl Loader {
    /// A loader over the given variables instead of those of the process.
    pub fn new<Name, Text>(schema: &'static Schema, process: impl IntoIterator<Item = (Name, Text)>) -> Self
    where
        Name: Into<OsString>,
        Text: Into<OsString>,
    {
        let process = process
            .into_iter()
            .map(|(name, text)| (name.into(), text.into()))
            .collect();
        Self {
            schema,
            process,
            working_directory: PathBuf::new(),
        }
    }

    /// A loader over the environment of this process.
    pub fn from_process(schema: &'static Schema) -> Self {
        Self::new(schema, std::env::vars_os())
    }

    /// Takes relative paths from here instead of the working directory of the process.
    pub fn working_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.working_directory = directory.into();
        self
    }

    /// Reads the files and the variables. Whatever is wrong is in the values' mistakes.
    ///
    /// A value that is empty or white space means unset: it hides the layers
    /// below it, and the schema's default applies.
    pub fn load(self) -> Values {
        let schema = self.schema;
        let mut findings = Findings::default();
        let process = Layer::process(schema, self.process, &mut findings);
        let mut files = Vec::new();
        if let Some(path) = process.text(CONFIG_FILE).map(PathBuf::from) {
            let read = Layer::config_file(
                schema,
                &self.working_directory.join(&path),
                &process,
                &mut findings,
            );
            files.extend(read_or_report(CONFIG_FILE, read, &mut findings));
        }
        if let Some(path) = process.text(ENV_FILE).map(PathBuf::from) {
            let read = Layer::env_file(
                schema,
                &self.working_directory.join(&path),
                &process,
                &mut findings,
            );
            files.extend(read_or_report(ENV_FILE, read, &mut findings));
        } else if let Some(path) = environment_file(schema, &process) {
            let read = Layer::env_file(
                schema,
                &self.working_directory.join(&path),
                &process,
                &mut findings,
            );
            if !matches!(read, Err(ReadFileError::Io(std::io::ErrorKind::NotFound))) {
                files.extend(read_or_report(ENV_FILE, read, &mut findings));
            }
        }
        files.push(process);
        let entries = entries(schema, files, &self.working_directory, &mut findings);
        Values {
            entries,
            mistakes: findings.mistakes,
            warnings: findings.warnings,
        }
    }
}

/// A secret in the environment of this process whose name is only known while it runs, such as one that a file names.
///
/// `None` when it is unset, empty, or not text.
#[expect(
    clippy::disallowed_methods,
    reason = "this crate is where the environment is read"
)]
pub fn process_secret(name: &str) -> Option<SecretString> {
    let value = std::env::var(name).ok()?;
    let value = value.trim();
    (!value.is_empty()).then(|| SecretString::from(value))
}

fn read_or_report(
    variable: &str,
    read: Result<Layer, ReadFileError>,
    findings: &mut Findings,
) -> Option<Layer> {
    read.map_err(|error| {
        findings.mistake(
            variable,
            format!("names a file that {error}"),
            &Source::Environment,
        );
    })
    .ok()
}

/// `None` when `ENVIRONMENT` is not one of the schema's words, so that it cannot name any other file.
fn environment_file(schema: &Schema, process: &Layer) -> Option<PathBuf> {
    let setting = schema.find(ENVIRONMENT)?;
    let text = process.text(ENVIRONMENT).or(setting.default)?;
    match parse(setting, text) {
        Ok(Parsed::Choice(environment)) => Some(Path::new(ENV_DIRECTORY).join(format!("{environment}.env"))),
        Ok(_) | Err(_) => None,
    }
}

fn entries(
    schema: &'static Schema,
    layers: Vec<Layer>,
    working_directory: &Path,
    findings: &mut Findings,
) -> Vec<Entry> {
    let sources: BTreeMap<String, Source> = layers
        .iter()
        .map(|layer| (layer.source().to_string(), layer.source().clone()))
        .collect();
    let mut builder = Config::builder();
    for layer in layers {
        builder = builder.add_source(layer);
    }
    let mut merged = match builder.build().and_then(|config| config.collect()) {
        Ok(merged) => merged,
        Err(_) => {
            findings.mistake(
                CONFIG_FILE,
                "cannot be merged with the other layers",
                &Source::Default,
            );
            config::Map::new()
        }
    };
    let mut entries = Vec::new();
    for setting in schema.settings() {
        let given = merged
            .remove(setting.name)
            .and_then(|value| given(value, &sources));
        let (text, source) = match (given, setting.default) {
            (Some((text, source)), _) => (Some(text), source),
            (None, Some(default)) => (Some(default.to_owned()), Source::Default),
            (None, None) => (None, Source::Default),
        };
        entries.push(entry(
            setting,
            text.as_deref(),
            source,
            working_directory,
            findings,
        ));
    }
    entries
}

fn given(value: Value, sources: &BTreeMap<String, Source>) -> Option<(String, Source)> {
    let source = value.origin().and_then(|origin| sources.get(origin)).cloned()?;
    match value.kind {
        ValueKind::String(text) if !text.trim().is_empty() => Some((text.trim().to_owned(), source)),
        _ => None,
    }
}

fn entry(
    setting: &'static Setting,
    text: Option<&str>,
    source: Source,
    working_directory: &Path,
    findings: &mut Findings,
) -> Entry {
    let mut entry = Entry {
        setting,
        source,
        text: None,
        parsed: None,
        content: None,
    };
    let Some(text) = text else {
        return entry;
    };
    let mut wrong = |problem: String, source: &Source| {
        findings.mistakes.push(Mistake {
            variable: setting.name.to_owned(),
            problem,
            expected: Some(setting.kind.expected()),
            source: Some(source.clone()),
        });
    };
    entry.text = Some(text.to_owned().into());
    match parse(setting, text) {
        Ok(parsed) => entry.parsed = Some(parsed),
        Err(problem) => wrong(problem, &entry.source),
    }
    if setting.kind == Kind::SecretFile && entry.parsed.is_some() {
        match read_secret_file(&working_directory.join(text)) {
            Ok(content) => entry.content = Some(content),
            Err(error) => wrong(format!("names a file that {error}"), &entry.source),
        }
    }
    entry
}
