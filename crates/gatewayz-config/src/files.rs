//! Bounded reading of the files that settings come from.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use secrecy::SecretString;

pub(crate) const MAX_SETTINGS_FILE_BYTES: u64 = 1 << 20;
const MAX_SECRET_FILE_BYTES: u64 = 64 << 10;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a file could not be used. Its content is never part of the message.
#[derive(Debug, thiserror::Error)]
pub enum ReadFileError {
    /// The file could not be opened or read.
    #[error("cannot be read: {0}")]
    Io(io::ErrorKind),
    /// The file is longer than allowed.
    #[error("is longer than {limit_bytes} bytes")]
    TooLong {
        /// The most that is read.
        limit_bytes: u64,
    },
    /// The file is not text.
    #[error("is not UTF-8")]
    NotUtf8,
    /// A secret file holds nothing.
    #[error("is empty")]
    Empty,
    /// A secret file holds control characters, such as a second line.
    #[error("has more than one line, or control characters")]
    NotOneLine,
}

/// Reads a secret of one line, at most 64 KiB; surrounding white space is not part of it.
///
/// # Errors
/// When the file cannot be read, is too long, not UTF-8, empty or of several lines.
pub fn read_secret_file(path: &Path) -> Result<SecretString, ReadFileError> {
    let text = read_text(path, MAX_SECRET_FILE_BYTES)?;
    let secret = text.trim();
    if secret.is_empty() {
        return Err(ReadFileError::Empty);
    }
    if secret.contains(char::is_control) {
        return Err(ReadFileError::NotOneLine);
    }
    Ok(SecretString::from(secret))
}

pub(crate) fn read_text(path: &Path, limit_bytes: u64) -> Result<String, ReadFileError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit_bytes + 1).read_to_end(&mut bytes))
        .map_err(|error| ReadFileError::Io(error.kind()))?;
    if bytes.len() as u64 > limit_bytes {
        return Err(ReadFileError::TooLong { limit_bytes });
    }
    let bytes = bytes
        .strip_prefix(BYTE_ORDER_MARK)
        .map(<[u8]>::to_vec)
        .unwrap_or(bytes);
    String::from_utf8(bytes).map_err(|_| ReadFileError::NotUtf8)
}
