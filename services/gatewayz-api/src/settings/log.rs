//! Log lines on stdout.

use std::num::NonZeroU32;

use gatewayz_config::{Group, Kind, Reader, Setting};

const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];
const MOST_DIRECTIVES: usize = 64;

pub(super) const GROUP: Group = Group {
    title: "Logging",
    about: "",
    settings: &[
        Setting::new(
            "LOG_LEVEL",
            Kind::List,
            "`off`, `error`, `warn` (or `warning`), `info`, `debug` or `trace`, or a list of it and of \
             `target=level`, such as `info,gatewayz_api=debug`. Without a bare level other targets stay at `info`. \
             At most 64 entries. Traces and metrics are not affected.",
        )
        .default_value("info"),
        Setting::new(
            "LOG_FORMAT",
            Kind::Choice(&["json", "bunyan", "pretty"]),
            "`json` is the documented schema, `bunyan` is for bunyan tools, `pretty` for a terminal.",
        )
        .default_value("json"),
        Setting::new(
            "LOG_STDOUT_BUFFER_BYTES",
            Kind::Bytes { min: 256 << 10, max: 1 << 30 },
            "Lines held while the reader of stdout is slow; beyond it they are dropped and counted.",
        )
        .default_value("8MiB"),
        Setting::new(
            "LOG_MAX_LINE_BYTES",
            Kind::Bytes { min: 12 << 10, max: 256 << 10 },
            "Longest line, at least what a request's own may take; container runtimes split at 16 KiB, Loki refuses more \
             than 256 KiB.",
        )
        .default_value("16384"),
        Setting::new(
            "LOG_EVENTS_PER_SECOND",
            Kind::Integer { min: 0, max: 1_000_000 },
            "Most events one place in the code writes in a second; the rest is left out, counted, and told by the \
             next line as `suppressed`. 0 sets no limit. Requests' own lines, audit events and \
             bunyan records are never left out.",
        )
        .default_value("0"),
    ],
};

/// Log lines on stdout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Checked directives in `level,target=level,...` form, lower-case, the bare level first.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
    /// Bytes held while stdout is slow.
    pub stdout_buffer_bytes: usize,
    /// Bytes of the longest line.
    pub max_line_bytes: usize,
    /// Most events of one callsite in a second; `None` sets no limit.
    pub events_per_second: Option<NonZeroU32>,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// The documented JSON schema.
    Json,
    /// bunyan's JSON.
    Bunyan,
    /// For a terminal.
    Pretty,
}

impl LogFormat {
    /// The value of `LOG_FORMAT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Bunyan => "bunyan",
            Self::Pretty => "pretty",
        }
    }
}

impl LogSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let directives = reader.list("LOG_LEVEL");
        let filter = filter(&directives).unwrap_or_else(|problem| {
            reader.mistake("LOG_LEVEL", problem);
            String::new()
        });
        Self {
            filter,
            format: match reader.choice("LOG_FORMAT") {
                "bunyan" => LogFormat::Bunyan,
                "pretty" => LogFormat::Pretty,
                _ => LogFormat::Json,
            },
            stdout_buffer_bytes: reader.size("LOG_STDOUT_BUFFER_BYTES"),
            max_line_bytes: reader.size("LOG_MAX_LINE_BYTES"),
            events_per_second: u32::try_from(reader.integer("LOG_EVENTS_PER_SECOND"))
                .ok()
                .and_then(NonZeroU32::new),
        }
    }
}

/// The filter that entries such as `warn` and `gatewayz_api=debug` stand for: a level for everything, `info` unless there
/// is one, and then the targets.
///
/// # Errors
/// The first mistake, by its entry; never with its text.
pub fn filter(directives: &[String]) -> Result<String, String> {
    if directives.len() > MOST_DIRECTIVES {
        return Err("has more than 64 entries".to_owned());
    }
    let mut bare = None;
    let mut targets = Vec::new();
    for (position, directive) in directives.iter().enumerate() {
        let entry = position + 1;
        let (target, level) = match directive.split_once('=') {
            Some((target, level)) => (Some(target.trim()), level.trim()),
            None => (None, directive.as_str()),
        };
        let level = level.to_ascii_lowercase();
        let level = if level == "warning" { "warn" } else { &level };
        if !LEVELS.contains(&level) {
            return Err(format!(
                "has no level in entry {entry}; expected one of {}",
                LEVELS.join(", ")
            ));
        }
        match target {
            None if bare.is_some() => return Err(format!("has a second bare level in entry {entry}")),
            None => bare = Some(level.to_owned()),
            Some(target) if is_target(target) => targets.push(format!("{target}={level}")),
            Some(_) => return Err(format!("has no target in entry {entry}")),
        }
    }
    targets.insert(0, bare.unwrap_or_else(|| "info".to_owned()));
    Ok(targets.join(","))
}

fn is_target(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'.' | b'-');
    !text.is_empty() && text.bytes().all(is_part)
}
