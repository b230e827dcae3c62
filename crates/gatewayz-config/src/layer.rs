//! Layers: the names and texts that one source contributes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use config::{FileFormat, Map, Source as _, Value, ValueKind};

use crate::files::{MAX_SETTINGS_FILE_BYTES, ReadFileError, read_text_file};
use crate::parse::{Parsed, parse};
use crate::{Kind, Mistake, Mistakes, Schema, Setting, Warning, names};

/// Stands for `$` while an env file is parsed: a noncharacter, which no text contains.
const DOLLAR: char = '\u{fdd0}';

/// Where a value comes from. A later variant beats an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The schema.
    Default,
    /// The TOML file named by `CONFIG_FILE`.
    ConfigFile(PathBuf),
    /// The env file named by `ENV_FILE`, or the environment's own.
    EnvFile(PathBuf),
    /// The environment of the process.
    Environment,
}

impl Source {
    /// Position in the order of the layers, whatever the path.
    pub(crate) fn rank(&self) -> usize {
        match self {
            Self::Default => 0,
            Self::ConfigFile(_) => 1,
            Self::EnvFile(_) => 2,
            Self::Environment => 3,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::ConfigFile(path) => write!(formatter, "config file {}", shown(path)),
            Self::EnvFile(path) => write!(formatter, "env file {}", shown(path)),
            Self::Environment => formatter.write_str("environment"),
        }
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy()
        .chars()
        .flat_map(char::escape_debug)
        .collect()
}

/// What was noticed while reading the layers.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) mistakes: Mistakes,
    pub(crate) warnings: Vec<Warning>,
}

impl Findings {
    pub(crate) fn mistake(&mut self, variable: &str, problem: impl Into<String>, source: &Source) {
        self.mistakes.push(Mistake {
            variable: names::printable(variable),
            problem: problem.into(),
            expected: None,
            source: Some(source.clone()),
        });
    }

    fn warning(&mut self, variable: &str, problem: impl Into<String>, source: &Source) {
        self.warnings.push(Warning {
            variable: names::printable(variable),
            problem: problem.into(),
            source: source.clone(),
        });
    }
}

/// One source's texts, by the names of the schema alone.
#[derive(Clone)]
pub(crate) struct Layer {
    source: Source,
    texts: BTreeMap<&'static str, String>,
}

// Written by hand: the texts may be secrets.
impl fmt::Debug for Layer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Layer")
            .field("source", &self.source)
            .field("names", &self.texts.keys())
            .finish()
    }
}

impl config::Source for Layer {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        let origin = self.source.to_string();
        let value = |text: &String| Value::new(Some(&origin), ValueKind::String(text.clone()));
        Ok(self
            .texts
            .iter()
            .map(|(name, text)| ((*name).to_owned(), value(text)))
            .collect())
    }
}

impl Layer {
    /// The variables of the process that the schema knows.
    pub(crate) fn process(
        schema: &'static Schema,
        variables: Vec<(OsString, OsString)>,
        findings: &mut Findings,
    ) -> Self {
        let mut layer = Self {
            source: Source::Environment,
            texts: BTreeMap::new(),
        };
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            let setting = schema.find(name);
            let Some(text) = value.to_str() else {
                if setting.is_some() {
                    findings.mistake(name, "is not UTF-8", &layer.source);
                }
                continue;
            };
            let foreign = names::is_service_link(name, text)
                && !setting.is_some_and(|setting| matches!(setting.kind, Kind::Url { .. }));
            match setting {
                _ if foreign => {}
                Some(setting) => {
                    layer.texts.insert(setting.name, text.to_owned());
                }
                None => layer.unknown(schema, name, findings),
            }
        }
        layer
    }

    /// The env file's `NAME=value` lines. A `$` is an ordinary character in them.
    pub(crate) fn env_file(
        schema: &'static Schema,
        path: &Path,
        process: &Self,
        findings: &mut Findings,
    ) -> Result<Self, ReadFileError> {
        let text = read_text_file(path, MAX_SETTINGS_FILE_BYTES)?;
        let mut layer = Self {
            source: Source::EnvFile(path.to_owned()),
            texts: BTreeMap::new(),
        };
        for (position, line) in text.lines().enumerate() {
            // Line by line, so that an open quote cannot swallow the settings after it.
            match env_line(line) {
                Ok(None) => {}
                Ok(Some((name, value))) => match schema.find(&name) {
                    Some(setting) => layer.admit(setting, value, process, findings),
                    None => layer.unknown(schema, &name, findings),
                },
                Err(InvalidLine) => {
                    let name = line
                        .split('=')
                        .next()
                        .map_or("", |name| name.trim().trim_start_matches("export "));
                    let variable = match schema.find(name) {
                        Some(setting) => setting.name.to_owned(),
                        None => "ENV_FILE".to_owned(),
                    };
                    let problem = format!(
                        "is not NAME=value in line {} (quote a value that has spaces or quotes)",
                        position + 1
                    );
                    findings.mistake(&variable, problem, &layer.source);
                }
            }
        }
        Ok(layer)
    }

    /// The TOML file's flat keys, in any case. A key that the schema does not know is a mistake.
    pub(crate) fn config_file(
        schema: &'static Schema,
        path: &Path,
        process: &Self,
        findings: &mut Findings,
    ) -> Result<Self, ReadFileError> {
        let text = read_text_file(path, MAX_SETTINGS_FILE_BYTES)?;
        let mut layer = Self {
            source: Source::ConfigFile(path.to_owned()),
            texts: BTreeMap::new(),
        };
        let table = match config::File::from_str(&text, FileFormat::Toml).collect() {
            Ok(table) => table,
            Err(error) => {
                findings.mistake(
                    "CONFIG_FILE",
                    format!("is not TOML{}", toml_position(&error)),
                    &layer.source,
                );
                return Ok(layer);
            }
        };
        let keys: BTreeMap<String, Value> = table.into_iter().collect();
        for (key, value) in keys {
            let Some(setting) = schema.find(&key.to_ascii_uppercase()) else {
                let problem = match names::suggestion(schema, &key) {
                    Some(known) => format!("is not a setting, did you mean {known}?"),
                    None => "is not a setting".to_owned(),
                };
                findings.mistake(&key, problem, &layer.source);
                continue;
            };
            if layer.texts.contains_key(setting.name) {
                // The parser keeps no order, so none of them is the last.
                findings.mistake(
                    setting.name,
                    "is given twice, in upper and lower case",
                    &layer.source,
                );
                continue;
            }
            match toml_text(setting, value.kind) {
                Ok(text) => layer.admit(setting, text, process, findings),
                Err(problem) => findings.mistake(setting.name, problem, &layer.source),
            }
        }
        Ok(layer)
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// The text given to a setting, `None` when it is empty or missing.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.texts
            .get(name)
            .map(|text| text.trim())
            .filter(|text| !text.is_empty())
    }

    fn admit(&mut self, setting: &'static Setting, text: String, process: &Self, findings: &mut Findings) {
        if setting.process_only {
            let effective = process.text(setting.name).or(setting.default);
            if !text.trim().is_empty() && !is_same_choice(setting, text.trim(), effective) {
                let problem = "is set where it has no effect; set it in the environment of the process";
                findings.mistake(setting.name, problem, &self.source);
            }
            return;
        }
        if self.texts.insert(setting.name, text).is_some() {
            findings.warning(setting.name, "is given twice, the last counts", &self.source);
        }
    }

    fn unknown(&self, schema: &Schema, name: &str, findings: &mut Findings) {
        if let Some(problem) = names::concern(schema, name) {
            findings.warning(name, problem, &self.source);
        }
    }
}

fn is_same_choice(setting: &Setting, text: &str, effective: Option<&str>) -> bool {
    let choice = |text| match parse(setting, text) {
        Ok(Parsed::Choice(word)) => Some(word),
        Ok(_) | Err(_) => None,
    };
    choice(text).is_some_and(|word| effective.and_then(choice) == Some(word))
}

struct InvalidLine;

fn env_line(line: &str) -> Result<Option<(String, String)>, InvalidLine> {
    // With the line end: without it the parser refuses a line that ends in white space.
    let line = format!("{}\n", without_substitution(line));
    match dotenvy::from_read_iter(line.as_bytes()).next() {
        None => Ok(None),
        Some(Ok((name, value))) => Ok(Some((name, value.replace(DOLLAR, "$")))),
        // The error holds the line, which may hold a secret.
        Some(Err(_)) => Err(InvalidLine),
    }
}

/// Hides each `$` that the parser would replace from the environment of the process.
///
/// One after an odd number of backslashes is escaped already.
fn without_substitution(line: &str) -> String {
    let mut backslashes = 0;
    line.chars()
        .map(|character| {
            let escaped = backslashes % 2 == 1;
            backslashes = if character == '\\' { backslashes + 1 } else { 0 };
            if character == '$' && !escaped {
                DOLLAR
            } else {
                character
            }
        })
        .collect()
}

/// The position from the first line of the parser's message; the rest quotes the file.
fn toml_position(error: &config::ConfigError) -> String {
    let config::ConfigError::FileParse { cause, .. } = error else {
        return String::new();
    };
    let message = cause.to_string();
    let first = message.lines().next().unwrap_or_default();
    first
        .strip_prefix("TOML parse error")
        .map(str::to_owned)
        .unwrap_or_default()
}

fn toml_text(setting: &Setting, kind: ValueKind) -> Result<String, String> {
    let is_text = matches!(
        setting.kind,
        Kind::Text | Kind::Path | Kind::SecretFile | Kind::Pairs
    );
    match kind {
        ValueKind::String(text) => Ok(text),
        ValueKind::Nil => Ok(String::new()),
        // 1.10 would become 1.1, and 0x10 sixteen.
        ValueKind::Boolean(_) | ValueKind::I64(_) | ValueKind::Float(_) if is_text => {
            Err("is not text; write it in quotes".to_owned())
        }
        ValueKind::Boolean(flag) => Ok(flag.to_string()),
        ValueKind::I64(number) => Ok(number.to_string()),
        ValueKind::I128(number) => Ok(number.to_string()),
        ValueKind::U64(number) => Ok(number.to_string()),
        ValueKind::U128(number) => Ok(number.to_string()),
        ValueKind::Float(number) => Ok(number.to_string()),
        ValueKind::Array(words) if setting.kind == Kind::List => {
            let words = words.into_iter().map(|word| match word.kind {
                ValueKind::String(text) => Ok(text),
                _ => Err("is not a list of texts".to_owned()),
            });
            Ok(words.collect::<Result<Vec<_>, _>>()?.join(","))
        }
        ValueKind::Array(_) | ValueKind::Table(_) => Err("is not a single value".to_owned()),
    }
}
