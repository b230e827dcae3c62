//! The beginning of a stream, read until it is clear that it is an answer, and what becomes of each event.

use bytes::Bytes;

use crate::cache::Recorder;
use crate::failure::Failure;
use crate::provider::IncomingBody;
use crate::reading::{Reading, Seen};
use crate::sse::{Decoder, Event, TooLong};

/// Most that is taken before the first event with an answer in it: comments, and nothing else.
const MAX_PRELUDE_BYTES: usize = 64 * 1024;

/// A stream whose first event is there, so that it is an answer and no error.
pub(crate) struct Opened {
    pub(super) body: IncomingBody,
    pub(super) decoder: Decoder,
    pub(super) reading: Reading,
    /// What came so far and goes to the client.
    pub(super) ready: Vec<Bytes>,
    usage_asked: bool,
    /// What came so far, for the cache; `None` where nothing is kept.
    pub(super) recorder: Option<Recorder>,
}

/// What becomes of an event.
pub(super) enum Fate {
    /// Forwarded; no part of the answer, such as a comment.
    Comment,
    /// Forwarded.
    Part,
    /// Forwarded where it was asked for.
    Usage,
    /// Forwarded, and the last.
    Done,
    Broken(Failure),
}

impl Opened {
    /// Reads up to the first event with an answer in it.
    pub(crate) async fn open(body: IncomingBody, usage_asked: bool, is_kept: bool) -> Result<Self, Failure> {
        let mut opened = Self {
            body,
            decoder: Decoder::default(),
            reading: Reading::default(),
            ready: Vec::new(),
            usage_asked,
            recorder: is_kept.then(Recorder::default),
        };
        let mut prelude_bytes = 0;
        loop {
            while let Some(event) = opened.decoder.next_event()? {
                let fate = opened.fate(&event);
                prelude_bytes += event.bytes.len();
                match fate {
                    Fate::Part => {
                        opened.pass(event, &fate);
                        return Ok(opened);
                    }
                    Fate::Comment | Fate::Usage => opened.pass(event, &fate),
                    Fate::Done => return Err(Failure::Empty),
                    Fate::Broken(failure) => return Err(failure),
                }
                if prelude_bytes > MAX_PRELUDE_BYTES {
                    return Err(Failure::Malformed);
                }
            }
            match opened.body.chunk().await? {
                Some(chunk) => opened.decoder.feed(&chunk),
                None => return Err(opened.ended()),
            }
        }
    }

    /// What an end before any answer says: the last event may have come without the empty line after it.
    fn ended(&mut self) -> Failure {
        let last = self.decoder.finish().ok().flatten();
        match last.map(|event| self.fate(&event)) {
            Some(Fate::Broken(failure @ Failure::ErrorInside(_))) => failure,
            _ => Failure::Empty,
        }
    }

    /// Reads an event in passing.
    pub(super) fn fate(&mut self, event: &Event) -> Fate {
        let Some(data) = event.data().filter(|data| !data.is_empty()) else {
            return Fate::Comment;
        };
        match self.reading.event(&data) {
            Seen::Part => Fate::Part,
            Seen::UsageOnly => Fate::Usage,
            Seen::Done => Fate::Done,
            Seen::Error(said) => Fate::Broken(Failure::ErrorInside(said)),
            Seen::Garbage => Fate::Broken(Failure::Malformed),
        }
    }

    /// Gives an event to the client, and to the cache.
    pub(super) fn pass(&mut self, event: Event, fate: &Fate) {
        let recorder = self.recorder.as_mut();
        let is_forwarded = match fate {
            Fate::Part => {
                if let Some(recorder) = recorder {
                    recorder.part(&event.bytes);
                }
                true
            }
            Fate::Usage => {
                if let Some(recorder) = recorder {
                    recorder.usage(&event.bytes);
                }
                self.usage_asked
            }
            Fate::Comment | Fate::Done => true,
            Fate::Broken(_) => false,
        };
        if is_forwarded {
            self.ready.push(event.bytes);
        }
    }
}

impl From<TooLong> for Failure {
    fn from(TooLong: TooLong) -> Self {
        Self::TooLarge
    }
}
