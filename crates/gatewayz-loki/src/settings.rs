//! Where and how lines are pushed.

use std::fmt;
use std::io;

use secrecy::SecretString;
use url::Url;

/// What a sink needs to push.
#[derive(Clone)]
pub struct LokiSettings {
    /// Full `http` or `https` URL of the push endpoint, without user name and password.
    pub push_url: Url,
    /// Format of a push.
    pub wire: Wire,
    /// Labels of every stream, beside `level`.
    pub labels: StreamLabels,
    /// How a push authenticates.
    pub credentials: Credentials,
    /// Sent as `X-Scope-OrgID`; `None` sends none.
    pub tenant: Option<String>,
}

/// Format of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wire {
    /// Protobuf, compressed with snappy: about 600 ns of CPU and 120 bytes sent for a line of 413 bytes
    /// (`examples/push_cost.rs`, one core of an AMD EPYC).
    #[default]
    Protobuf,
    /// JSON, compressed with gzip, for proxies that read it: about 1,900 ns and 80 bytes for the same line.
    Json,
}

/// The labels that are the same for every line of the process. An empty value leaves its label out, as Loki does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamLabels {
    /// Value of `service`.
    pub service: String,
    /// Value of `app`.
    pub app: String,
    /// Value of `environment`.
    pub environment: String,
}

/// How a push authenticates.
#[derive(Debug, Clone)]
pub enum Credentials {
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

/// Why a sink could not be built. Values are not shown.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The push URL is not an `http` or `https` URL with a host.
    #[error("read the Loki push URL: expected http or https")]
    PushUrl,
    /// The push URL has a user name or password, which would be shown wherever the URL is.
    #[error("read the Loki push URL: credentials belong in their own settings")]
    CredentialsInUrl,
    /// The user name has a colon, or a credential has characters that cannot be sent.
    #[error("read the Loki credentials")]
    Credentials,
    /// The tenant has characters that cannot be sent.
    #[error("read the Loki tenant")]
    Tenant,
    /// The HTTP client could not be set up.
    #[error("set up the Loki HTTP client")]
    Client(#[source] reqwest::Error),
    /// The sink's own runtime could not be started.
    #[error("start the Loki sink's runtime")]
    Runtime(#[source] io::Error),
}

impl fmt::Debug for LokiSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A query may hold a token as well as the user part may.
        let mut push_url = self.push_url.clone();
        let _ = push_url.set_username("");
        let _ = push_url.set_password(None);
        push_url.set_query(None);
        push_url.set_fragment(None);
        formatter
            .debug_struct("LokiSettings")
            .field("push_url", &push_url.as_str())
            .field("wire", &self.wire)
            .field("labels", &self.labels)
            .field("credentials", &self.credentials)
            .field("tenant", &self.tenant)
            .finish()
    }
}
