//! The one value from which a request's metric, log line and span are made.

use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use actix_web::Error;

use crate::panic::guarded;

/// Longest text of an exception, in characters.
pub(crate) const MESSAGE_MAX_CHARS: usize = 512;

/// How one request ended, known once, at its last byte, its abort or its panic.
#[derive(Debug, Clone)]
pub(crate) struct RequestOutcome<'a> {
    /// Method as a label value: one of the registered nine, else `_OTHER`.
    pub(crate) method: &'static str,
    /// Status that was answered; 499 when the client left first, 500 when the body broke off.
    pub(crate) status_code: u16,
    /// From the first byte of the head to the last byte of the body, in nanoseconds.
    pub(crate) duration_nanos: u64,
    /// When it ended, in nanoseconds since the Unix epoch.
    pub(crate) end_unix_nanos: u64,
    /// Bytes of the request's body that were read.
    pub(crate) bytes_in: u64,
    /// Bytes of the response's body that were handed to the connection; 0 for HEAD.
    pub(crate) bytes_out: u64,
    /// What failed it; `None` when nothing was thrown.
    pub(crate) exception: Option<&'a Exception>,
}

/// What failed a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exception {
    /// Its type.
    pub(crate) kind: ExceptionKind,
    /// Text for the log line and the span, at most 512 characters and, for a panic, its place; never for the client.
    pub(crate) message: String,
}

impl Exception {
    /// What `error` says of itself. Its `Display` is foreign code: it may panic, and its text may have no end.
    pub(crate) fn of_error(kind: ExceptionKind, error: &Error) -> Self {
        let mut text = Text {
            message: String::new(),
            room: MESSAGE_MAX_CHARS,
        };
        let written = guarded(|| catch_unwind(AssertUnwindSafe(|| write!(text, "{error}"))));
        let message = match written {
            // Not written means that there was no room for all of it.
            Ok(Ok(()) | Err(fmt::Error)) => text.message,
            Err(panicked) => panicked.message,
        };
        Self { kind, message }
    }
}

struct Text {
    message: String,
    /// How many characters more it takes.
    room: usize,
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            self.room = self.room.checked_sub(1).ok_or(fmt::Error)?;
            self.message.push(character);
        }
        Ok(())
    }
}

/// The types of exceptions, a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExceptionKind {
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
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Error => "error",
            Self::Body => "body",
        }
    }
}
