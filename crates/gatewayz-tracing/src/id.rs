//! Trace and span ids: made fast, written as lower-case hex without allocating.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};

use opentelemetry::trace::{SpanId, TraceId};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Makes a trace id, never zero.
///
/// All sixteen bytes are random, so the random flag may be set for it (W3C Trace Context level 2,
/// "Random Trace ID Flag", asks for the last seven). Ids are unique, not secret.
pub fn new_trace_id() -> TraceId {
    GENERATOR.with_borrow_mut(|generator| {
        loop {
            let id: u128 = generator.random();
            if id != 0 {
                return TraceId::from(id);
            }
        }
    })
}

/// Makes a span id, never zero.
pub fn new_span_id() -> SpanId {
    GENERATOR.with_borrow_mut(|generator| {
        loop {
            let id: u64 = generator.random();
            if id != 0 {
                return SpanId::from(id);
            }
        }
    })
}

/// Appends each byte as two lower-case hex digits.
pub fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.extend_from_slice(&hex_pair(*byte));
    }
}

/// The 32 lower-case hex digits of a trace id.
pub fn trace_id_hex(id: TraceId) -> [u8; 32] {
    let mut digits = [0; 32];
    write_pairs(&id.to_bytes(), &mut digits);
    digits
}

/// The 16 lower-case hex digits of a span id.
pub fn span_id_hex(id: SpanId) -> [u8; 16] {
    let mut digits = [0; 16];
    write_pairs(&id.to_bytes(), &mut digits);
    digits
}

/// The two lower-case hex digits of a byte.
pub(crate) fn hex_pair(byte: u8) -> [u8; 2] {
    HEX_PAIRS[usize::from(byte)]
}

/// Writes as many bytes of `bytes` as `out` has room for, two digits each.
pub(crate) fn write_pairs(bytes: &[u8], out: &mut [u8]) {
    let (pairs, _) = out.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = hex_pair(*byte);
    }
}

thread_local! {
    static GENERATOR: RefCell<SmallRng> = RefCell::new(seeded());
}

const HEX_PAIRS: [[u8; 2]; 256] = {
    let digits = *b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
};

fn seeded() -> SmallRng {
    // The hasher keys come from the operating system once per process and differ per call, which keeps ids
    // distinct where the random device is shut off by a sandbox.
    SmallRng::try_from_os_rng()
        .unwrap_or_else(|_| SmallRng::seed_from_u64(RandomState::new().hash_one(std::process::id())))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_across_threads_and_never_zero() {
        let make =
            || -> Vec<(TraceId, SpanId)> { (0..20_000).map(|_| (new_trace_id(), new_span_id())).collect() };

        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(make)).collect();
        let ids: Vec<_> = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect();

        assert!(
            ids.iter()
                .all(|(trace, span)| *trace != TraceId::INVALID && *span != SpanId::INVALID)
        );
        assert_eq!(
            ids.iter().map(|(trace, _)| *trace).collect::<HashSet<_>>().len(),
            80_000
        );
        assert_eq!(
            ids.iter().map(|(_, span)| *span).collect::<HashSet<_>>().len(),
            80_000
        );
    }

    #[test]
    fn each_bit_of_the_last_seven_bytes_of_a_trace_id_is_set_about_half_the_time() {
        let mut set = [0_u32; 56];

        for _ in 0..20_000 {
            let id = u128::from_be_bytes(new_trace_id().to_bytes());
            for (bit, count) in set.iter_mut().enumerate() {
                *count += u32::from((id >> bit) & 1 == 1);
            }
        }

        assert!(set.iter().all(|count| (9_500..10_500).contains(count)), "{set:?}");
    }

    #[test]
    fn hex_is_lower_case_and_keeps_leading_zeros() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let mut text = b"id=".to_vec();

        write_hex(&every_byte, &mut text);

        let expected: String = every_byte.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, format!("id={expected}").into_bytes());
        assert_eq!(
            &trace_id_hex(TraceId::from(0xab)),
            b"000000000000000000000000000000ab"
        );
        assert_eq!(&span_id_hex(SpanId::from(0x0102)), b"0000000000000102");
    }
}
