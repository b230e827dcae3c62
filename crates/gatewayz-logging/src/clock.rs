//! RFC 3339 timestamps in UTC with milliseconds, the date part cached per thread and second.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// `2026-11-22T07:03:04`.
const DATE_TIME_LEN: usize = 19;
/// `{"timestamp":"2026-11-22T07:03:04.005Z`.
const LINE_START_BYTES: usize = MILLIS_AT + 4;
const TIMESTAMP_AT: usize = 14;
const MILLIS_AT: usize = TIMESTAMP_AT + DATE_TIME_LEN + 1;

/// Nanoseconds since the Unix epoch; 0 for a clock before it.
#[must_use]
pub fn unix_nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since
        .as_secs()
        .saturating_mul(NANOS_PER_SECOND)
        .saturating_add(u64::from(since.subsec_nanos()))
}

/// The same of this moment, without a difference of two `SystemTime`s, which takes 37 instructions; up to the year 2262.
pub(crate) fn unix_nanos_now() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    let nanos = now
        .tv_sec
        .wrapping_mul(NANOS_PER_SECOND.cast_signed())
        .wrapping_add(now.tv_nsec);
    nanos.max(0).cast_unsigned()
}

/// Appends `2026-11-22T07:03:04.005Z`.
pub fn write_timestamp(unix_nanos: u64, out: &mut Vec<u8>) {
    with_line_start(unix_nanos, |start| out.extend_from_slice(&start[TIMESTAMP_AT..]));
}

/// Appends what a line has up to its timestamp.
pub(crate) fn write_line_start(unix_nanos: u64, out: &mut Vec<u8>) {
    with_line_start(unix_nanos, |start| out.extend_from_slice(start));
}

/// Kept as a whole, because it is the same but for three digits for all lines of a second.
#[inline]
fn with_line_start(unix_nanos: u64, write: impl FnOnce(&[u8; LINE_START_BYTES])) {
    const EPOCH: [u8; LINE_START_BYTES] = *b"{\"timestamp\":\"1970-01-01T00:00:00.000Z";
    // When the second of the text began, and the text.
    thread_local!(static KEPT: RefCell<(u64, [u8; LINE_START_BYTES])> = const { RefCell::new((0, EPOCH)) });
    KEPT.with_borrow_mut(|(began, text)| {
        if unix_nanos.wrapping_sub(*began) >= NANOS_PER_SECOND {
            let second = unix_nanos / NANOS_PER_SECOND;
            *began = second * NANOS_PER_SECOND;
            text[TIMESTAMP_AT..MILLIS_AT - 1].copy_from_slice(&date_time(second));
        }
        let millis = ((unix_nanos - *began) / 1_000_000) as u16;
        let digit = |value: u16| b'0' + (value % 10) as u8;
        text[MILLIS_AT] = digit(millis / 100);
        text[MILLIS_AT + 1] = digit(millis / 10);
        text[MILLIS_AT + 2] = digit(millis);
        write(text);
    });
}

#[cold]
fn date_time(second: u64) -> [u8; DATE_TIME_LEN] {
    let mut text = *b"9999-12-31T23:59:59";
    let timestamp = i64::try_from(second)
        .ok()
        .and_then(|second| jiff::Timestamp::from_second(second).ok());
    if let Some(formatted) = timestamp.map(|timestamp| timestamp.to_string())
        && let Some(prefix) = formatted.as_bytes().get(..DATE_TIME_LEN)
    {
        text.copy_from_slice(prefix);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_has_milliseconds_and_the_zone() {
        let mut out = Vec::new();

        write_timestamp(1_766_021_025_123_999_999, &mut out);
        write_timestamp(1_766_021_026_000_000_001, &mut out);
        write_timestamp(0, &mut out);

        assert_eq!(
            out,
            b"2025-12-18T01:23:45.123Z2025-12-18T01:23:46.000Z1970-01-01T00:00:00.000Z"
        );
    }
}
