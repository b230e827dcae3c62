//! Log lines to Loki.

use std::time::Duration;

use gatewayz_config::{Group, Kind, Reader, SecretString, Setting, Url, is_private_host, percent_decoded};

use super::admin::check_header_text;

const PUSH_PATH: &str = "/loki/api/v1/push";
const HTTP: Kind = Kind::Url {
    schemes: &["http", "https"],
    assumed_scheme: None,
};
const BACKOFF: Kind = Kind::Duration {
    min: Duration::from_millis(10),
    max: Duration::from_secs(600),
};

pub(super) const GROUP: Group = Group {
    title: "Loki",
    about: "Pushing is in addition to stdout. Use one way into Loki: this, or an agent that reads stdout. \
            Credentials over plain `http` are accepted only for a loopback, private or link-local address, a name \
            of one label such as `loki`, and names under `.local`, `.internal`, `.localhost`, `.home.arpa` and `.svc`.",
    settings: &[
        Setting::new("LOKI_ENABLED", Kind::Flag, "Push log lines to Loki; needs `LOKI_PUSH_URL`.").default_value("false"),
        Setting::new("LOKI_PUSH_URL", HTTP, "Where to push. `/loki/api/v1/push` is added to a URL without a path; user name and password in it are used as `LOKI_USERNAME` and `LOKI_PASSWORD`."),
        Setting::new("LOKI_QUERY_URL", HTTP, "Base URL where people query Loki; only shown.")
            .when_unset("`LOKI_PUSH_URL` without its path"),
        Setting::new("LOKI_USERNAME", Kind::Text, "User name of basic authentication, without a colon.").when_unset("no authentication"),
        Setting::new("LOKI_PASSWORD", Kind::Text, "Password of basic authentication.").secret(),
        Setting::new("LOKI_PASSWORD_FILE", Kind::SecretFile, "File that holds the password instead."),
        Setting::new("LOKI_BEARER_TOKEN", Kind::Text, "Bearer token instead of basic authentication.").secret(),
        Setting::new("LOKI_BEARER_TOKEN_FILE", Kind::SecretFile, "File that holds the bearer token instead."),
        Setting::new("LOKI_TENANT_ID", Kind::Text, "Tenant, sent as `X-Scope-OrgID`.").when_unset("not sent"),
        Setting::new("LOKI_WIRE", Kind::Choice(&["protobuf", "json"]), "Push format: snappy-compressed protobuf, or gzip-compressed JSON for proxies that read it.")
            .default_value("protobuf"),
        Setting::new("LOKI_QUEUE_BYTES", Kind::Bytes { min: 64 << 10, max: 1 << 30 }, "Lines held while Loki is slow or away; beyond it they are dropped and counted.")
            .default_value("10MiB"),
        Setting::new("LOKI_BATCH_BYTES", Kind::Bytes { min: 1 << 10, max: 1 << 20 }, "A push is sent when it has this many bytes before compression. Not more than `LOKI_QUEUE_BYTES`.")
            .default_value("512KiB"),
        Setting::new("LOKI_BATCH_WAIT", Kind::Duration { min: Duration::from_millis(10), max: Duration::from_secs(60) }, "A push is sent at the latest this long after its first line.")
            .default_value("1"),
        Setting::new("LOKI_TIMEOUT", Kind::Duration { min: Duration::from_millis(100), max: Duration::from_secs(300) }, "How long one push may take.")
            .default_value("10"),
        Setting::new("LOKI_BACKOFF_MIN", BACKOFF, "First wait before a push is repeated.").default_value("0.5"),
        Setting::new("LOKI_BACKOFF_MAX", BACKOFF, "Longest wait before a push is repeated.").default_value("30"),
        Setting::new("LOKI_RETRY_MAX_ELAPSED", Kind::Duration { min: Duration::ZERO, max: Duration::from_secs(86_400) }, "How long a push is attempted, at most 20 times, before its lines are dropped and counted; 0 never repeats.")
            .default_value("300"),
    ],
};

/// What is known about Loki.
#[derive(Debug, Clone)]
pub struct LokiSettings {
    /// What pushing needs; `None` when it is off.
    pub push: Option<LokiPush>,
    /// The push URL without credentials, also when pushing is off.
    pub push_url: Option<Url>,
    /// Where people query; from the push URL unless given.
    pub query_url: Option<Url>,
}

/// How log lines are pushed.
#[derive(Debug, Clone)]
pub struct LokiPush {
    /// Full URL without credentials.
    pub url: Url,
    /// How to authenticate.
    pub credentials: LokiCredentials,
    /// `X-Scope-OrgID`; `None` sends none.
    pub tenant_id: Option<String>,
    /// Push format.
    pub wire: LokiWire,
    /// Bytes held in memory.
    pub queue_bytes: usize,
    /// Bytes of one push before compression.
    pub batch_bytes: usize,
    /// Longest time between the first line of a push and its sending.
    pub batch_wait: Duration,
    /// Deadline of one push.
    pub timeout: Duration,
    /// First wait before a repetition.
    pub backoff_min: Duration,
    /// Longest wait before a repetition.
    pub backoff_max: Duration,
    /// How long one push is repeated.
    pub retry_max_elapsed: Duration,
}

/// How a push authenticates.
#[derive(Debug, Clone)]
pub enum LokiCredentials {
    /// Not at all.
    None,
    /// Basic authentication.
    Basic {
        /// Without a colon.
        username: String,
        /// Any text.
        password: SecretString,
    },
    /// Bearer authentication.
    Bearer(SecretString),
}

/// Format of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LokiWire {
    /// Protobuf, compressed with snappy.
    Protobuf,
    /// JSON, compressed with gzip.
    Json,
}

impl LokiSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let enabled = reader.flag("LOKI_ENABLED");
        let given_url = reader.url("LOKI_PUSH_URL");
        if enabled && !reader.is_set("LOKI_PUSH_URL") {
            reader.mistake("LOKI_PUSH_URL", "is not set, and LOKI_ENABLED is true");
        }
        let credentials = credentials(reader, given_url.as_ref());
        let push_url = given_url.map(push_url);
        let query_url = reader
            .url("LOKI_QUERY_URL")
            .or_else(|| push_url.as_ref().and_then(query_url));
        let push = read_push(reader, push_url.clone(), credentials);
        Self {
            push: push.filter(|_| enabled),
            push_url,
            query_url,
        }
    }
}

fn read_push(reader: &mut Reader<'_>, url: Option<Url>, credentials: LokiCredentials) -> Option<LokiPush> {
    let tenant_id = reader.optional_text("LOKI_TENANT_ID");
    if tenant_id
        .as_ref()
        .is_some_and(|tenant| !tenant.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        reader.mistake("LOKI_TENANT_ID", "has characters other than visible ASCII");
    }
    let push = LokiPush {
        url: url?,
        credentials,
        tenant_id,
        wire: if reader.choice("LOKI_WIRE") == "json" {
            LokiWire::Json
        } else {
            LokiWire::Protobuf
        },
        queue_bytes: reader.size("LOKI_QUEUE_BYTES"),
        batch_bytes: reader.size("LOKI_BATCH_BYTES"),
        batch_wait: reader.duration("LOKI_BATCH_WAIT"),
        timeout: reader.duration("LOKI_TIMEOUT"),
        backoff_min: reader.duration("LOKI_BACKOFF_MIN"),
        backoff_max: reader.duration("LOKI_BACKOFF_MAX"),
        retry_max_elapsed: reader.duration("LOKI_RETRY_MAX_ELAPSED"),
    };
    if push.batch_bytes > push.queue_bytes {
        reader.mistake("LOKI_BATCH_BYTES", "is more than LOKI_QUEUE_BYTES");
    }
    if push.backoff_min > push.backoff_max {
        reader.mistake("LOKI_BACKOFF_MIN", "is more than LOKI_BACKOFF_MAX");
    }
    let has_credentials = !matches!(push.credentials, LokiCredentials::None);
    if has_credentials && push.url.scheme() == "http" && !is_private_host(&push.url) {
        reader.mistake(
            "LOKI_PUSH_URL",
            "sends credentials over http to a public host; use https",
        );
    }
    Some(push)
}

fn credentials(reader: &mut Reader<'_>, url: Option<&Url>) -> LokiCredentials {
    let username = reader.optional_text("LOKI_USERNAME");
    let password = reader.secret_or_file("LOKI_PASSWORD", "LOKI_PASSWORD_FILE");
    let token = reader.secret_or_file("LOKI_BEARER_TOKEN", "LOKI_BEARER_TOKEN_FILE");
    let in_url = url.filter(|url| !url.username().is_empty() || url.password().is_some());
    if username.as_ref().is_some_and(|username| username.contains(':')) {
        reader.mistake("LOKI_USERNAME", "has a colon");
    }
    let token_variable = reader.strongest(&["LOKI_BEARER_TOKEN", "LOKI_BEARER_TOKEN_FILE"]);
    if let Some(token) = &token {
        check_header_text(reader, token_variable.unwrap_or("LOKI_BEARER_TOKEN"), token);
    }
    let ways = [
        username.is_some() || password.is_some(),
        token.is_some(),
        in_url.is_some(),
    ];
    if ways.iter().filter(|used| **used).count() > 1 {
        reader.mistake(
            "LOKI_PUSH_URL",
            "has more than one way to authenticate; keep LOKI_USERNAME and LOKI_PASSWORD, LOKI_BEARER_TOKEN, \
             or the user name in the URL",
        );
    }
    if let Some(token) = token {
        return LokiCredentials::Bearer(token);
    }
    match (username, password) {
        (Some(username), Some(password)) => return LokiCredentials::Basic { username, password },
        (Some(_), None) => reader.mistake("LOKI_PASSWORD", "is not set, and LOKI_USERNAME is"),
        (None, Some(_)) => reader.mistake("LOKI_USERNAME", "is not set, and LOKI_PASSWORD is"),
        (None, None) => {}
    }
    let Some(url) = in_url else {
        return LokiCredentials::None;
    };
    let password = url.password().unwrap_or_default();
    match (percent_decoded(url.username()), percent_decoded(password)) {
        (Some(username), Some(password)) => LokiCredentials::Basic {
            username,
            password: SecretString::from(password),
        },
        (None, _) | (_, None) => {
            reader.mistake(
                "LOKI_PUSH_URL",
                "has a user name or password that does not decode to plain text",
            );
            LokiCredentials::None
        }
    }
}

fn push_url(mut url: Url) -> Url {
    // Both fail only for URLs without a host, which the schema refuses.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    if url.path() == "/" {
        url.set_path(PUSH_PATH);
    }
    url
}

fn query_url(push_url: &Url) -> Option<Url> {
    let base = push_url.path().strip_suffix(PUSH_PATH)?;
    let mut url = push_url.clone();
    url.set_path(base);
    url.set_query(None);
    Some(url)
}
