//! One answer of a server as it comes in: whole with the last byte of its announced length, or with its last chunk.

use anyhow::{Context, Result, ensure};

/// Longest answer that is read.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// What has come of the answer that is awaited.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    received: Vec<u8>,
    /// `None` while the head is not whole.
    body: Option<Body>,
}

#[derive(Debug, Clone, Copy)]
enum Body {
    /// Its end in what is received.
    Announced(usize),
    /// Where the next chunk begins.
    Chunked(usize),
}

impl Answer {
    /// Takes what has come; `true` when that completes the answer, and it waits for the next one.
    ///
    /// # Errors
    /// When it is not a 200, too long, not HTTP, or more than one.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<bool> {
        self.received.extend_from_slice(bytes);
        ensure!(
            self.received.len() <= ANSWER_MAX_BYTES,
            "read an answer: it is too long"
        );
        let Some(end) = self.end()? else {
            return Ok(false);
        };
        ensure!(self.received.len() <= end, "read an answer: more than one came");
        if self.received.len() < end {
            return Ok(false);
        }
        self.received.clear();
        self.body = None;
        Ok(true)
    }

    /// Where the answer ends; `None` while that is not known.
    fn end(&mut self) -> Result<Option<usize>> {
        if self.body.is_none() {
            self.body = read_head(&self.received)?;
        }
        match self.body {
            None => Ok(None),
            Some(Body::Announced(end)) => Ok(Some(end)),
            Some(Body::Chunked(mut start)) => {
                while let Some((size, end)) = read_chunk(&self.received, start)? {
                    if size == 0 {
                        return Ok(Some(end));
                    }
                    start = end;
                }
                self.body = Some(Body::Chunked(start));
                Ok(None)
            }
        }
    }
}

/// How the body comes; `None` while the head is not whole.
fn read_head(received: &[u8]) -> Result<Option<Body>> {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head =
        str::from_utf8(received.get(..end).unwrap_or_default()).context("read the head of an answer")?;
    ensure!(
        head.starts_with("HTTP/1.1 200 "),
        "read an answer: {}",
        head.lines().next().unwrap_or_default()
    );
    let header = |wanted: &str| {
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.trim())
    };
    let start = end + 4;
    if header("transfer-encoding") == Some("chunked") {
        return Ok(Some(Body::Chunked(start)));
    }
    let length: usize = header("content-length")
        .context("read an answer: no length")?
        .parse()
        .context("read the length of an answer")?;
    Ok(Some(Body::Announced(start + length)))
}

/// Size and end of the chunk that begins at `start`; `None` while it is not whole.
fn read_chunk(received: &[u8], start: usize) -> Result<Option<(usize, usize)>> {
    let rest = received.get(start..).unwrap_or_default();
    let Some(line) = rest.windows(2).position(|window| window == b"\r\n") else {
        return Ok(None);
    };
    let size = str::from_utf8(rest.get(..line).unwrap_or_default()).context("read the size of a chunk")?;
    let size = usize::from_str_radix(size, 16).context("read the size of a chunk")?;
    ensure!(size <= ANSWER_MAX_BYTES, "read an answer: it is too long");
    let end = start + line + 2 + size + 2;
    Ok((received.len() >= end).then_some((size, end)))
}

#[cfg(test)]
mod tests {
    use super::Answer;

    const ANNOUNCED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nc\r\n\r\n0\r\n\r\nworld\r\n0\r\n\r\n";

    #[test]
    fn an_answer_is_whole_with_its_last_byte_wherever_it_is_cut() {
        for whole in [ANNOUNCED, CHUNKED] {
            for cut in 1..whole.len() {
                let (first, second) = whole.split_at(cut);
                let mut answer = Answer::default();

                let before = answer.take(first).unwrap();
                let after = answer.take(second).unwrap();

                assert!(!before && after, "{cut}");
            }
        }
    }

    #[test]
    fn the_next_answer_on_the_connection_is_read_afresh() {
        let mut answer = Answer::default();

        let whole = [CHUNKED, ANNOUNCED, CHUNKED].map(|bytes| answer.take(bytes).unwrap());

        assert_eq!(whole, [true; 3]);
    }

    #[test]
    fn more_than_the_answer_is_a_mistake() {
        for whole in [ANNOUNCED, CHUNKED] {
            let error = Answer::default().take(&[whole, b"H"].concat()).unwrap_err();

            assert!(error.to_string().contains("more than one"), "{error}");
        }
    }

    #[test]
    fn another_status_ends_the_run() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

        let error = Answer::default().take(answer).unwrap_err();

        assert!(error.to_string().contains("503"), "{error}");
    }
}
