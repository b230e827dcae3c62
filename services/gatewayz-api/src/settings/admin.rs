//! Keys of the instrumentation endpoints, and the exposition.

use gatewayz_admin_auth::{AdminKeys, KeyError, Published};
use gatewayz_config::{ExposeSecret, Group, Kind, Reader, SecretString, Setting};

use super::Environment;

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
    /// Those of all three settings.
    pub keys: AdminKeys,
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
        let published = match environment {
            Environment::Local => Published::Accepted,
            Environment::Staging | Environment::Production => Published::Refused,
        };
        let mut keys = AdminKeys::none(published);
        let hashes = reader.secret("ADMIN_API_KEYS_SHA256");
        let hashes = hashes.as_ref().map_or("", |hashes| hashes.expose_secret());
        if let Err(error) = keys.add_hashes(hashes) {
            reader.mistake("ADMIN_API_KEYS_SHA256", format!("is not a list of keys: {error}"));
        }
        let key = reader.secret("ADMIN_API_KEY");
        add_key(reader, &mut keys, "ADMIN_API_KEY", key, environment);
        let file_key = reader.secret_file("ADMIN_API_KEY_FILE");
        add_key(reader, &mut keys, "ADMIN_API_KEY_FILE", file_key, environment);
        Self { keys }
    }
}

impl MetricsSettings {
    pub(super) fn read(reader: &mut Reader<'_>, environment: Environment) -> Self {
        let token = reader.secret_or_file("METRICS_TOKEN", "METRICS_TOKEN_FILE");
        let variable = reader.strongest(&["METRICS_TOKEN", "METRICS_TOKEN_FILE"]);
        if let Some(token) = &token {
            check_key(reader, variable.unwrap_or("METRICS_TOKEN"), token, environment);
        }
        let legacy_aliases = reader.optional_flag("METRICS_LEGACY_ALIASES");
        Self {
            token,
            legacy_aliases: legacy_aliases.unwrap_or(environment == Environment::Local),
        }
    }
}

/// Whether the secret can be sent in a header; if not, it is a mistake from then on.
pub(super) fn check_header_text(reader: &mut Reader<'_>, name: &str, secret: &SecretString) -> bool {
    let sendable = secret.expose_secret().bytes().all(|byte| byte.is_ascii_graphic());
    if !sendable {
        reader.mistake(name, "has characters other than visible ASCII");
    }
    sendable
}

fn add_key(
    reader: &mut Reader<'_>,
    keys: &mut AdminKeys,
    name: &str,
    key: Option<SecretString>,
    environment: Environment,
) {
    let Some(key) = key else { return };
    if !check_key(reader, name, &key, environment) {
        return;
    }
    let problem = match keys.add_plain([key]) {
        Ok(()) => return,
        Err(KeyError::Placeholder { .. }) => {
            "is a placeholder; make a key with `gatewayz-api keygen`".to_owned()
        }
        Err(KeyError::TooShort { .. }) => "is shorter than 16 characters".to_owned(),
        Err(error) => format!("is not a key: {error}"),
    };
    reader.mistake(name, problem);
}

/// The same for a secret that guards something of ours.
fn check_key(reader: &mut Reader<'_>, name: &str, key: &SecretString, environment: Environment) -> bool {
    let length = key.expose_secret().len();
    if length > LONGEST_KEY_BYTES {
        reader.mistake(name, "is longer than 512 bytes");
        return false;
    }
    if length < SHORTEST_KEY_CHARS && environment != Environment::Local {
        reader.mistake(
            name,
            "is shorter than 22 characters, too easy to guess outside local",
        );
        return false;
    }
    check_header_text(reader, name, key)
}
