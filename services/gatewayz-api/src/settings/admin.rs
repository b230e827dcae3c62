//! Keys of the instrumentation endpoints, and the exposition.

use gatewayz_admin_auth::{AdminKeys, KeyError, Published};
use gatewayz_config::{ExposeSecret, Group, Kind, Reader, SecretString, Setting, sha256_from_hex};

use super::Environment;

const MOST_KEYS: usize = 64;
const LONGEST_ID_CHARS: usize = 64;
/// 128 bits in base64url.
const SHORTEST_KEY_CHARS: usize = 22;
const LONGEST_KEY_BYTES: usize = 512;

pub(super) const GROUP: Group = Group {
    title: "Admin keys",
    about: "Any of the keys opens the admin endpoints, so that one can be replaced by another without a gap. \
            Without a key, and outside `local` with the key that the documentation publishes, they answer 503. \
            Keys are visible ASCII of at most 512 bytes, outside `local` at least 22 characters.",
    settings: &[
        Setting::new(
            "ADMIN_API_KEY",
            Kind::Text,
            "A key, sent as `Authorization: Bearer`.",
        )
        .secret()
        .reloaded(),
        Setting::new(
            "ADMIN_API_KEY_FILE",
            Kind::SecretFile,
            "File that holds a further key.",
        )
        .reloaded(),
        Setting::new(
            "ADMIN_API_KEYS_SHA256",
            Kind::Text,
            "Further keys as `id:hex,...`: a name for the audit log, and the SHA-256 of the key. At most 64.",
        )
        .secret()
        .reloaded(),
    ],
};

pub(super) const METRICS_GROUP: Group = Group {
    title: "Metrics",
    about: "",
    settings: &[
        Setting::new("METRICS_TOKEN", Kind::Text, "Bearer token for `GET /metrics`; the same rules as for keys.")
            .when_unset("open to everyone")
            .secret()
            .reloaded(),
        Setting::new("METRICS_TOKEN_FILE", Kind::SecretFile, "File that holds the token instead.").reloaded(),
        Setting::new(
            "METRICS_LEGACY_ALIASES",
            Kind::Flag,
            "Also write `fastapi_requests_duration_seconds` under its old name `fastapi_request_duration_seconds`.",
        )
        .when_unset("true in `local`, else false"),
    ],
};

/// Keys of the instrumentation endpoints, as configured.
#[derive(Debug, Clone)]
pub struct AdminSettings {
    /// Keys in the clear: `ADMIN_API_KEY`, then that of `ADMIN_API_KEY_FILE`.
    pub keys: Vec<SecretString>,
    /// Names and SHA-256 digests of further keys.
    pub key_digests: Vec<(String, [u8; 32])>,
}

/// The exposition.
#[derive(Debug, Clone)]
pub struct MetricsSettings {
    /// Bearer token of `GET /metrics`; `None` leaves it open.
    pub token: Option<SecretString>,
    /// Write families under their old names too.
    pub legacy_aliases: bool,
}

impl AdminSettings {
    pub(super) fn read(reader: &mut Reader<'_>, environment: Environment) -> Self {
        let key = reader.secret("ADMIN_API_KEY");
        check_admin_key(reader, "ADMIN_API_KEY", key.as_ref(), environment);
        let file_key = reader.secret_file("ADMIN_API_KEY_FILE");
        check_admin_key(reader, "ADMIN_API_KEY_FILE", file_key.as_ref(), environment);
        let digests = reader.secret("ADMIN_API_KEYS_SHA256");
        let key_digests = match digests
            .as_ref()
            .map(|digests| key_digests(digests.expose_secret()))
        {
            None => Vec::new(),
            Some(Ok(digests)) => digests,
            Some(Err(problem)) => {
                reader.mistake("ADMIN_API_KEYS_SHA256", problem);
                Vec::new()
            }
        };
        Self {
            keys: key.into_iter().chain(file_key).collect(),
            key_digests,
        }
    }
}

impl MetricsSettings {
    pub(super) fn read(reader: &mut Reader<'_>, environment: Environment) -> Self {
        let token = reader.secret_or_file("METRICS_TOKEN", "METRICS_TOKEN_FILE");
        let variable = reader.strongest(&["METRICS_TOKEN", "METRICS_TOKEN_FILE"]);
        check_key(
            reader,
            variable.unwrap_or("METRICS_TOKEN"),
            token.as_ref(),
            environment,
        );
        let legacy_aliases = reader.optional_flag("METRICS_LEGACY_ALIASES");
        Self {
            token,
            legacy_aliases: legacy_aliases.unwrap_or(environment == Environment::Local),
        }
    }
}

/// Reports a secret that cannot be sent in a header.
pub(super) fn check_header_text(reader: &mut Reader<'_>, name: &str, secret: Option<&SecretString>) {
    let Some(secret) = secret else { return };
    if !secret.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
        reader.mistake(name, "has characters other than visible ASCII");
    }
}

/// Reports what the admin guard would not take, so that it is told with the other mistakes.
fn check_admin_key(
    reader: &mut Reader<'_>,
    name: &str,
    key: Option<&SecretString>,
    environment: Environment,
) {
    check_key(reader, name, key, environment);
    match AdminKeys::new(key.cloned(), "", Published::Accepted) {
        Err(KeyError::Placeholder { .. }) => {
            reader.mistake(name, "is a placeholder; make a key with `gatewayz-api keygen`");
        }
        Err(KeyError::TooShort { .. }) if environment == Environment::Local => {
            reader.mistake(name, "is shorter than 16 characters");
        }
        Ok(_) | Err(_) => {}
    }
}

fn check_key(reader: &mut Reader<'_>, name: &str, key: Option<&SecretString>, environment: Environment) {
    check_header_text(reader, name, key);
    let length = key.map_or(SHORTEST_KEY_CHARS, |key| key.expose_secret().len());
    if length > LONGEST_KEY_BYTES {
        reader.mistake(name, "is longer than 512 bytes");
    }
    if length < SHORTEST_KEY_CHARS && environment != Environment::Local {
        reader.mistake(
            name,
            "is shorter than 22 characters, too easy to guess outside local",
        );
    }
}

fn key_digests(text: &str) -> Result<Vec<(String, [u8; 32])>, String> {
    let mut digests: Vec<(String, [u8; 32])> = Vec::new();
    for (position, entry) in text
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .enumerate()
    {
        let number = position + 1;
        if position >= MOST_KEYS {
            return Err("has more than 64 entries".to_owned());
        }
        let Some((id, hex)) = entry.split_once(':') else {
            return Err(format!("is not id:hex in entry {number}"));
        };
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if id.is_empty() || id.len() > LONGEST_ID_CHARS || !id.bytes().all(is_part) {
            return Err(format!(
                "has an id in entry {number} that is not 1 to 64 of A-Z a-z 0-9 - _ ."
            ));
        }
        if digests.iter().any(|(known, _)| known == id) {
            return Err(format!("has the id of entry {number} twice"));
        }
        let Some(digest) = sha256_from_hex(hex) else {
            return Err(format!(
                "has no SHA-256 of 64 hexadecimal digits in entry {number}"
            ));
        };
        digests.push((id.to_owned(), digest));
    }
    Ok(digests)
}
