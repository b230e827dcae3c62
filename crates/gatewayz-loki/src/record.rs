//! One log line as it waits in the queue: its stream, time and ids in front of its bytes.

use crate::clock;

const HAS_TRACE_ID: u8 = 0b0001_0000;
const HAS_SPAN_ID: u8 = 0b0010_0000;
const LEVEL_BITS: u8 = 0b0000_1111;

/// Most bytes that a record has beside its line.
pub const HEAD_MAX_BYTES: usize = 1 + 8 + 16 + 8;

/// Appends one log line to `out`, in the form [`LokiSink`](crate::LokiSink) reads.
///
/// `level` is one of `ERROR`, `WARN`, `INFO`, `DEBUG`, `TRACE`; any other text files the line under `INFO`, so that
/// the label's values stay a closed set. `line` may be any bytes; one line feed at its end is not pushed.
///
/// The time that is pushed is `unix_nanos` unless another record of the process has it or a later one: then it is
/// the next free nanosecond, so that Loki keeps equal lines apart and sees each stream in order. A clock set back by
/// more than ten minutes is replaced by the time since the start.
pub fn write(
    unix_nanos: u64,
    level: &str,
    trace_id: Option<[u8; 16]>,
    span_id: Option<[u8; 8]>,
    line: &[u8],
    out: &mut Vec<u8>,
) {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut head = Level::named(level) as u8;
    if trace_id.is_some() {
        head |= HAS_TRACE_ID;
    }
    if span_id.is_some() {
        head |= HAS_SPAN_ID;
    }
    out.push(head);
    out.extend_from_slice(&clock::fix(unix_nanos).to_le_bytes());
    if let Some(trace_id) = trace_id {
        out.extend_from_slice(&trace_id);
    }
    if let Some(span_id) = span_id {
        out.extend_from_slice(&span_id);
    }
    out.extend_from_slice(line);
}

/// Values of the `level` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    pub(crate) const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
        }
    }

    fn named(name: &str) -> Self {
        let found = Self::ALL.into_iter().find(|level| level.as_str() == name);
        found.unwrap_or(Self::Info)
    }
}

/// A record as [`write()`] was given it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) unix_nanos: u64,
    pub(crate) level: Level,
    pub(crate) trace_id: Option<&'a [u8; 16]>,
    pub(crate) span_id: Option<&'a [u8; 8]>,
    pub(crate) line: &'a [u8],
}

/// `None` when [`write()`] has not written it.
pub(crate) fn read(record: &[u8]) -> Option<Record<'_>> {
    let (head, rest) = record.split_first()?;
    let level = *Level::ALL.get(usize::from(head & LEVEL_BITS))?;
    let (unix_nanos, mut rest) = rest.split_first_chunk()?;
    let (mut trace_id, mut span_id) = (None, None);
    if head & HAS_TRACE_ID != 0 {
        let (id, after) = rest.split_first_chunk()?;
        (trace_id, rest) = (Some(id), after);
    }
    if head & HAS_SPAN_ID != 0 {
        let (id, after) = rest.split_first_chunk()?;
        (span_id, rest) = (Some(id), after);
    }
    Some(Record {
        unix_nanos: u64::from_le_bytes(*unix_nanos),
        level,
        trace_id,
        span_id,
        line: rest,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            level in 0_usize..5,
            trace_id: Option<[u8; 16]>,
            span_id: Option<[u8; 8]>,
            line: Vec<u8>,
        ) {
            let level = Level::ALL[level];
            let mut out = Vec::new();

            write(1, level.as_str(), trace_id, span_id, &[&line, b"\n".as_slice()].concat(), &mut out);
            let record = read(&out).unwrap();

            prop_assert_eq!(record.level, level);
            prop_assert_eq!(record.trace_id, trace_id.as_ref());
            prop_assert_eq!(record.span_id, span_id.as_ref());
            prop_assert_eq!(record.line, line);
        }

        #[test]
        fn foreign_bytes_are_refused_or_read_but_never_panic(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }
    }

    #[test]
    fn an_unknown_level_is_info() {
        let mut out = Vec::new();

        write(1, "customer-42", None, None, b"line", &mut out);

        assert_eq!(read(&out).unwrap().level, Level::Info);
    }
}
