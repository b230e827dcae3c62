//! The path of a request as lines show it.

use smol_str::SmolStr;

use crate::json::{is_plain, write_escaped};

/// Longest endpoint that is written, in characters of the request's path.
pub(crate) const ENDPOINT_MAX_CHARS: usize = 512;

/// A request's path without query. Lines show its first 512 characters.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Most are short enough to need no allocation.
    path: SmolStr,
    /// Whether the whole path can be written as it is, found out once for all lines of the request.
    is_plain: bool,
}

impl Endpoint {
    /// Takes the path of a request.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self {
            path: path.into(),
            is_plain: path.len() <= ENDPOINT_MAX_CHARS && is_plain(path.as_bytes()),
        }
    }

    /// The whole path.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The part of the path that is written.
    pub(crate) fn shown(&self) -> &str {
        if self.path.len() <= ENDPOINT_MAX_CHARS {
            return &self.path;
        }
        let cut = self
            .path
            .char_indices()
            .nth(ENDPOINT_MAX_CHARS)
            .map_or(self.path.len(), |(index, _)| index);
        self.path.get(..cut).unwrap_or_default()
    }

    /// Appends that part, escaped for a JSON string.
    #[inline]
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        if self.is_plain {
            out.extend_from_slice(self.path.as_bytes());
        } else {
            self.write_escaped(out);
        }
    }

    #[cold]
    fn write_escaped(&self, out: &mut Vec<u8>) {
        write_escaped(self.shown(), 6 * ENDPOINT_MAX_CHARS, out);
    }
}
