//! The schema: a static table of every setting a service understands.

use std::time::Duration;

/// Everything a service can be told, in one table.
///
/// Loading, mistakes, `check-config` output, the generated documentation and
/// the environment-variables endpoint are all made from it.
#[derive(Debug)]
pub struct Schema {
    /// The settings, in the order in which they are shown.
    pub groups: &'static [Group],
    /// Unknown variables that begin like this are warned about; others belong to somebody else.
    pub prefixes: &'static [&'static str],
    /// Variables of a standard that users may expect to work and that do not.
    pub unsupported: &'static [&'static str],
}

impl Schema {
    /// All settings, group by group.
    pub fn settings(&self) -> impl Iterator<Item = &'static Setting> + use<> {
        self.groups.iter().flat_map(|group| group.settings)
    }

    /// The setting of that name, exact in case.
    pub fn find(&self, name: &str) -> Option<&'static Setting> {
        self.settings().find(|setting| setting.name == name)
    }
}

/// Settings that belong together: one section of the documentation.
#[derive(Debug)]
pub struct Group {
    /// Heading.
    pub title: &'static str,
    /// One paragraph of Markdown for the whole section; empty for none.
    pub about: &'static str,
    /// The settings, most important first.
    pub settings: &'static [Setting],
}

/// One setting: a flat name that is the same in the environment, env files and the config file.
#[derive(Debug)]
pub struct Setting {
    /// Name of the environment variable.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// What it does, as one or two sentences of Markdown.
    pub help: &'static str,
    /// The value when nothing sets it; parsed like any other.
    pub default: Option<&'static str>,
    /// What absence means when there is no `default`.
    pub when_unset: &'static str,
    /// The value is never shown.
    pub secret: bool,
    /// Only the process environment may set it.
    pub process_only: bool,
    /// The service takes another value over at SIGHUP; any other setting takes a restart.
    pub reloaded: bool,
    /// Other spellings of a [`Kind::Choice`], each with the value that it stands for.
    pub aliases: &'static [(&'static str, &'static str)],
}

impl Setting {
    /// A public setting without a default.
    pub const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self {
            name,
            kind,
            help,
            default: None,
            when_unset: "",
            secret: false,
            process_only: false,
            reloaded: false,
            aliases: &[],
        }
    }

    /// Sets the value used when nothing else does.
    pub const fn default_value(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// Says what absence means.
    pub const fn when_unset(mut self, meaning: &'static str) -> Self {
        self.when_unset = meaning;
        self
    }

    /// Keeps the value out of every output.
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Lets only the process environment set it.
    pub const fn process_only(mut self) -> Self {
        self.process_only = true;
        self
    }

    /// Says that SIGHUP reads it again.
    pub const fn reloaded(mut self) -> Self {
        self.reloaded = true;
        self
    }

    /// Adds other spellings of a choice.
    pub const fn aliases(mut self, aliases: &'static [(&'static str, &'static str)]) -> Self {
        self.aliases = aliases;
        self
    }
}

/// What values a setting takes. Bounds are inclusive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Any text of at most 16 KiB without control characters.
    Text,
    /// `true` or `false`; `1`, `0`, `yes`, `no`, `on` and `off` are understood.
    Flag,
    /// A whole number.
    Integer {
        /// Least value.
        min: u64,
        /// Greatest value.
        max: u64,
    },
    /// A number with an optional fraction; never infinite.
    Number {
        /// Least value.
        min: f64,
        /// Greatest value.
        max: f64,
    },
    /// Seconds with an optional fraction, or a number with `ms`, `s`, `m` or `h`.
    Duration {
        /// Least value.
        min: Duration,
        /// Greatest value.
        max: Duration,
    },
    /// Whole milliseconds, as the OpenTelemetry variables have it.
    Milliseconds {
        /// Least value.
        min: u64,
        /// Greatest value.
        max: u64,
    },
    /// Bytes, or a whole number with `KiB`, `MiB` or `GiB`.
    Bytes {
        /// Least value.
        min: u64,
        /// Greatest value.
        max: u64,
    },
    /// An absolute URL with a host and without a fragment.
    Url {
        /// Allowed schemes.
        schemes: &'static [&'static str],
        /// Scheme of a bare `host:port`; `None` makes that a mistake.
        assumed_scheme: Option<&'static str>,
    },
    /// One of these words, in any case.
    Choice(&'static [&'static str]),
    /// A path; whether it exists is not checked.
    Path,
    /// A path to a file that holds a secret. It is read while loading.
    SecretFile,
    /// Comma-separated words; empty ones are dropped.
    List,
    /// `key=value,...` with percent-encoded values, as in `OTEL_RESOURCE_ATTRIBUTES`.
    Pairs,
}

impl Kind {
    /// The allowed values in words, such as `a whole number from 1 to 65535`.
    pub fn expected(&self) -> String {
        match self {
            Self::Text => "printable text of at most 16 KiB".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Number { min, max } => format!("a number from {min} to {max}"),
            Self::Duration { min, max } => format!(
                "seconds from {} to {} (or a number with ms, s, m or h)",
                min.as_secs_f64(),
                max.as_secs_f64()
            ),
            Self::Milliseconds { min, max } => format!("whole milliseconds from {min} to {max}"),
            Self::Bytes { min, max } => format!(
                "bytes from {} to {} (or a number with KiB, MiB or GiB)",
                bytes_in_words(*min),
                bytes_in_words(*max)
            ),
            Self::Url {
                schemes,
                assumed_scheme,
            } => {
                let schemes = schemes.join(" or ");
                match assumed_scheme {
                    None => format!("an absolute {schemes} URL"),
                    Some(assumed) => format!("an absolute {schemes} URL, or host:port for {assumed}"),
                }
            }
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Path => "a path".to_owned(),
            Self::SecretFile => "a readable file of at most 64 KiB with one line of text".to_owned(),
            Self::List => "comma-separated words".to_owned(),
            Self::Pairs => "key=value pairs with commas between, values percent-encoded".to_owned(),
        }
    }
}

fn bytes_in_words(bytes: u64) -> String {
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{} {name}", bytes / unit);
        }
    }
    bytes.to_string()
}
