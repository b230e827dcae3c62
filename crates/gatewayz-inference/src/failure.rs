//! How one attempt failed, and what follows from it.

use std::time::Duration;

use http::StatusCode;
use secrecy::SecretString;

use crate::error::{ErrorObject, InferenceError};
use crate::outcome::Status;
use crate::reading::ProviderMessage;
use crate::scrub;

/// What a client is told of a refusal in which the provider says nothing.
const REFUSED: ErrorObject<'_> = ErrorObject {
    message: "The provider refused the request.",
    r#type: "invalid_request_error",
    param: None,
    code: None,
};

/// Why one attempt gave no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection, for whatever reason; the request was not sent.
    Connect,
    /// The connection broke.
    Transport,
    /// A time limit was reached.
    Timeout(Limit),
    /// The provider answered with a status that is no success.
    Status {
        status: StatusCode,
        retry_after: Option<Duration>,
        said: ProviderMessage,
    },
    /// A success in name, but no answer in OpenAI's form.
    Malformed,
    /// A stream without an answer in it.
    Empty,
    /// A success in name, and an error inside.
    ErrorInside(ProviderMessage),
    /// More than the gateway takes.
    TooLarge,
    /// A stream that ended in the middle.
    Truncated,
    /// The gateway is at a limit of its own: the memory for answers in one piece, or the files it may open.
    NoRoom,
    /// The gateway stops; nobody else is to blame.
    ShuttingDown,
}

/// What one attempt says of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Well,
    Unwell,
    /// It answered, with a refusal that anybody would get: no success, but it is there.
    Refused,
    /// Nothing: it is at its limit, or the attempt was ended from our side.
    Nothing,
}

/// Which time limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    FirstByte,
    Idle,
    /// The attempt's share of the call's time, where another candidate is left.
    Share,
    Total,
}

/// Where the call may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Nowhere: every provider would do the same, or there is no time left.
    Nowhere,
    /// At another provider.
    Elsewhere,
    /// At this one too.
    Anywhere,
}

impl Failure {
    pub(crate) fn retry(&self) -> Retry {
        match self {
            Self::Connect
            | Self::Transport
            | Self::Malformed
            | Self::Empty
            | Self::ErrorInside(_)
            | Self::Timeout(Limit::FirstByte) => Retry::Anywhere,
            Self::Timeout(Limit::Idle | Limit::Share) | Self::TooLarge | Self::Truncated => Retry::Elsewhere,
            Self::Timeout(Limit::Total) | Self::NoRoom | Self::ShuttingDown => Retry::Nowhere,
            Self::Status { status, .. } => match status.as_u16() {
                400 | 404 | 413 | 422 => Retry::Nowhere,
                429 if self.is_out_of_quota() => Retry::Elsewhere,
                408 | 409 | 429 | 500.. => Retry::Anywhere,
                _ => Retry::Elsewhere,
            },
        }
    }

    /// Whether the attempt ended at a limit of ours, whatever the provider was about to do.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::NoRoom | Self::ShuttingDown)
    }

    /// What it says of the provider. A client can make refusals as many as it likes, so they count neither way.
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Status { status, .. } => match status.as_u16() {
                400 | 404 | 409 | 413 | 422 => Verdict::Refused,
                429 => Verdict::Nothing,
                _ => Verdict::Unwell,
            },
            Self::NoRoom | Self::ShuttingDown => Verdict::Nothing,
            Self::Connect
            | Self::Transport
            | Self::Timeout(_)
            | Self::Malformed
            | Self::Empty
            | Self::ErrorInside(_)
            | Self::TooLarge
            | Self::Truncated => Verdict::Unwell,
        }
    }

    /// How long the provider asks us to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Connect
            | Self::Transport
            | Self::Timeout(_)
            | Self::Malformed
            | Self::Empty
            | Self::ErrorInside(_)
            | Self::TooLarge
            | Self::Truncated
            | Self::NoRoom
            | Self::ShuttingDown => None,
        }
    }

    /// The word of `error.type`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Transport => "transport",
            Self::Timeout(Limit::FirstByte) => "first_byte_timeout",
            Self::Timeout(Limit::Idle) => "idle_timeout",
            Self::Timeout(Limit::Share) => "attempt_timeout",
            Self::Timeout(Limit::Total) => "total_timeout",
            Self::Status { status, .. } => match status.as_u16() {
                401 | 403 => "auth",
                402 => "payment",
                429 => "rate_limit",
                400..=499 => "rejected",
                _ => "status",
            },
            Self::Malformed => "malformed",
            Self::Empty => "empty",
            Self::ErrorInside(_) => "error_inside",
            Self::TooLarge => "too_large",
            Self::Truncated => "truncated",
            Self::NoRoom => "overloaded",
            Self::ShuttingDown => "server_shutting_down",
        }
    }

    /// How a call ends that ends with this.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Timeout(_) => Status::Timeout,
            Self::Truncated => Status::Truncated,
            Self::Connect
            | Self::Transport
            | Self::Status { .. }
            | Self::Malformed
            | Self::Empty
            | Self::ErrorInside(_)
            | Self::TooLarge
            | Self::NoRoom
            | Self::ShuttingDown => Status::Error,
        }
    }

    /// What the client is told. `key` is ours at the provider, to be kept out of it.
    pub(crate) fn to_error(&self, key: Option<&SecretString>) -> InferenceError {
        match self {
            Self::Timeout(_) => InferenceError::Timeout,
            Self::Status {
                status,
                retry_after,
                said,
            } => match status.as_u16() {
                400 | 404 | 413 | 422 => InferenceError::Rejected {
                    status: *status,
                    body: scrub::error_body(said, &REFUSED, key).into(),
                },
                401 | 403 => InferenceError::ProviderKey,
                429 => InferenceError::ProviderLimit {
                    retry_after: *retry_after,
                },
                _ => InferenceError::ProviderFailed,
            },
            Self::Connect
            | Self::Transport
            | Self::Malformed
            | Self::Empty
            | Self::ErrorInside(_)
            | Self::TooLarge
            | Self::Truncated => InferenceError::ProviderFailed,
            Self::NoRoom => InferenceError::Overloaded,
            Self::ShuttingDown => InferenceError::ShuttingDown,
        }
    }

    fn is_out_of_quota(&self) -> bool {
        matches!(self, Self::Status { said, .. } if said.code.as_deref() == Some("insufficient_quota"))
    }
}
