//! The one value from which a request's metric, log line and span are made.

/// How one request ended, known once, at its last byte, its abort or its panic.
#[derive(Debug, Clone)]
pub struct RequestOutcome<'a> {
    /// Method as a label value: one of the registered nine, else `_OTHER`.
    pub method: &'static str,
    /// Route template; `None` when no route matched.
    pub route: Option<&'a str>,
    /// Status that was answered; 499 when the client left first, 500 when the body broke off.
    pub status_code: u16,
    /// From the first byte of the head to the last byte of the body, in nanoseconds.
    pub duration_nanos: u64,
    /// When it ended, in nanoseconds since the Unix epoch.
    pub end_unix_nanos: u64,
    /// Length of the request's body.
    pub bytes_in: u64,
    /// Bytes of the response's body that were handed to the connection.
    pub bytes_out: u64,
    /// What failed it; `None` when nothing was thrown.
    pub exception: Option<&'a Exception>,
}

/// What failed a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Its type.
    pub kind: ExceptionKind,
    /// Text for the log line and the span; never for the client.
    pub message: String,
}

/// The types of exceptions, a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExceptionKind {
    /// The handler or the body panicked.
    Panic,
    /// An `Err` became a 5xx.
    Error,
    /// The body ended with an error.
    Body,
}

impl ExceptionKind {
    pub(crate) const ALL: [Self; 3] = [Self::Panic, Self::Error, Self::Body];

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Error => "error",
            Self::Body => "body",
        }
    }
}
