//! Exemplars: the trace behind one observation, kept per bucket.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::text::push_decimal;

/// Shortest time between two exemplars of one bucket.
const RENEWAL_NANOS: u64 = 100_000_000;

/// The sampled trace an observation belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exemplar {
    /// W3C trace id.
    pub trace_id: [u8; 16],
    /// W3C span id; left out of the page when `None`.
    pub span_id: Option<[u8; 8]>,
    /// When it was observed, in nanoseconds since the Unix epoch.
    pub timestamp_nanos: u64,
}

/// The latest exemplar of a bucket.
#[derive(Debug, Default)]
pub(crate) struct ExemplarCell {
    renewed_nanos: AtomicU64,
    latest: Mutex<Option<(Exemplar, u64)>>,
}

impl ExemplarCell {
    /// Takes the exemplar if the present one is old enough and nobody is at the cell; never waits.
    pub(crate) fn offer(&self, exemplar: Exemplar, value: u64) {
        let renewed_nanos = self.renewed_nanos.load(Ordering::Relaxed);
        // The absolute difference: after a step back of the clock exemplars must go on.
        if renewed_nanos != 0 && exemplar.timestamp_nanos.abs_diff(renewed_nanos) < RENEWAL_NANOS {
            return;
        }
        let Ok(mut latest) = self.latest.try_lock() else {
            return;
        };
        *latest = Some((exemplar, value));
        self.renewed_nanos
            .store(exemplar.timestamp_nanos, Ordering::Relaxed);
    }

    /// Appends the OpenMetrics exemplar of a bucket line, if there is one.
    pub(crate) fn push(&self, out: &mut Vec<u8>, decimals: usize) {
        let latest = *self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((exemplar, value)) = latest else { return };
        out.extend_from_slice(b" # {trace_id=\"");
        push_hex(out, &exemplar.trace_id);
        if let Some(span_id) = exemplar.span_id {
            out.extend_from_slice(b"\",span_id=\"");
            push_hex(out, &span_id);
        }
        out.extend_from_slice(b"\"} ");
        push_decimal(out, value, decimals);
        out.push(b' ');
        push_decimal(out, exemplar.timestamp_nanos / 1_000_000, 3);
    }
}

fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let digit = |nibble: u8| {
        if nibble < 10 {
            b'0' + nibble
        } else {
            b'a' + nibble - 10
        }
    };
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(timestamp_nanos: u64, id: u8) -> Exemplar {
        Exemplar {
            trace_id: [id; 16],
            span_id: None,
            timestamp_nanos,
        }
    }

    fn page(cell: &ExemplarCell) -> String {
        let mut out = Vec::new();
        cell.push(&mut out, 9);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_exemplar_is_renewed_at_most_every_100_milliseconds() {
        let cell = ExemplarCell::default();
        let start = 1_700_000_000_000_000_000;

        cell.offer(at(start, 0xa1), 1_000);
        cell.offer(at(start + 99_999_999, 0xb2), 1_000);
        assert!(page(&cell).contains(&"a1".repeat(16)));

        cell.offer(at(start + 100_000_000, 0xb2), 1_500_000_000);
        assert_eq!(
            page(&cell),
            format!(" # {{trace_id=\"{}\"}} 1.5 1700000000.1", "b2".repeat(16))
        );
    }

    #[test]
    fn a_clock_set_back_does_not_freeze_exemplars() {
        let cell = ExemplarCell::default();
        cell.offer(at(1_700_000_000_000_000_000, 1), 1);

        cell.offer(at(1_600_000_000_000_000_000, 2), 1);

        assert!(page(&cell).contains(&"02".repeat(16)));
    }

    #[test]
    fn a_contended_cell_gives_up() {
        let cell = ExemplarCell::default();
        let held = cell.latest.lock().unwrap();

        cell.offer(at(1_700_000_000_000_000_000, 1), 1);
        drop(held);

        assert_eq!(page(&cell), "");
    }
}
