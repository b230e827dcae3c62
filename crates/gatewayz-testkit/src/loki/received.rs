//! What a test reads of the received lines and requests.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::serve::header;

/// Names and values, of labels or of structured metadata.
pub type Pairs = BTreeMap<String, String>;

/// One line as Loki stores it: two with the same content are one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    /// Labels of its stream, without those that have an empty value.
    pub labels: Pairs,
    /// Time, in nanoseconds since the Unix epoch.
    pub unix_nanos: u64,
    /// The text, what is not UTF-8 replaced.
    pub text: String,
    /// Structured metadata.
    pub metadata: Pairs,
}

/// One push, whatever it was answered.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    /// Method, `POST` for a push that is meant well.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers with lower-case names, credentials included; values that are not UTF-8 replaced.
    pub headers: Vec<(String, String)>,
    /// The body as it was sent.
    pub body: Bytes,
    /// Size of the body after decompression; 0 when it could not be decompressed.
    pub decoded_bytes: usize,
    /// When its body was complete.
    pub received_at: Instant,
    /// Status of the answer; `None` while there is none, and for ever when it hung or was cut.
    pub status: Option<u16>,
    /// The lines in the order of the body, kept or not; empty when it could not be read.
    pub lines: Vec<Arc<Line>>,
    /// Places of its kept lines in [`Receiver::lines`](super::Receiver::lines).
    pub kept: Range<usize>,
}

impl Line {
    /// Value of a stream label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// Value of structured metadata.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.metadata.get(name).map(String::as_str)
    }
}

impl ReceivedRequest {
    /// Value of the first header with this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}
