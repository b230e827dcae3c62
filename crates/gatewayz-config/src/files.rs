//! Reading of the files that settings come from, bounded in size and time.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use secrecy::SecretString;

pub(crate) const MAX_SETTINGS_FILE_BYTES: u64 = 1 << 20;
const MAX_SECRET_FILE_BYTES: u64 = 64 << 10;
/// A pipe whose writer stands still would hold the start, or a reload, for ever.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
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
    let text = read_text_file(path, MAX_SECRET_FILE_BYTES)?;
    let secret = text.trim();
    if secret.is_empty() {
        return Err(ReadFileError::Empty);
    }
    if secret.contains(char::is_control) {
        return Err(ReadFileError::NotOneLine);
    }
    Ok(SecretString::from(secret))
}

/// Reads a text of at most `limit_bytes`, from a pipe too if it comes within 5 s; a byte order mark is not part of it.
///
/// # Errors
/// When the file cannot be read in that time, is too long or not UTF-8.
pub fn read_text_file(path: &Path, limit_bytes: u64) -> Result<String, ReadFileError> {
    let deadline = Instant::now() + READ_TIMEOUT;
    let bytes = read(path, limit_bytes + 1, deadline).map_err(|error| ReadFileError::Io(error.kind()))?;
    if bytes.len() as u64 > limit_bytes {
        return Err(ReadFileError::TooLong { limit_bytes });
    }
    let bytes = bytes
        .strip_prefix(BYTE_ORDER_MARK)
        .map(<[u8]>::to_vec)
        .unwrap_or(bytes);
    String::from_utf8(bytes).map_err(|_| ReadFileError::NotUtf8)
}

fn read(path: &Path, most_bytes: u64, deadline: Instant) -> io::Result<Vec<u8>> {
    // Or opening a pipe would wait for its writer, without end.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut limited = (&file).take(most_bytes);
    let mut bytes = Vec::new();
    loop {
        wait(&file, deadline)?;
        match limited.read_to_end(&mut bytes) {
            Ok(_) => return Ok(bytes),
            // What has come is in the buffer.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Waits until there is something to read, or nothing more will come.
fn wait(file: &File, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            // A signal that came to this thread.
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use tempfile::TempDir;

    use super::*;

    fn pipe() -> (TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        (directory, path)
    }

    #[test]
    fn a_pipe_is_read_to_its_end() {
        let (_directory, path) = pipe();
        let writer = {
            let path = path.clone();
            std::thread::spawn(move || {
                let mut pipe = OpenOptions::new().write(true).open(path).unwrap();
                for part in ["one", " and", " two"] {
                    pipe.write_all(part.as_bytes()).unwrap();
                    std::thread::yield_now();
                }
            })
        };

        let text = read_text_file(&path, 100);

        writer.join().unwrap();
        assert_eq!(text.unwrap(), "one and two");
    }

    #[test]
    fn a_pipe_without_a_writer_is_left() {
        let (_directory, path) = pipe();

        let error = read(&path, 100, Instant::now() + Duration::from_millis(20)).unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
