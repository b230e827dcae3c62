//! Ids as hexadecimal digits.

/// Each byte as two lower-case hexadecimal digits.
///
/// Another `DIGITS` than twice `BYTES` does not compile.
///
/// Without a table the compiler can work on eight bytes at once: 33 instructions for a trace id instead of 90.
// A call would cost half of that again.
#[inline(always)]
#[must_use]
pub fn hex_digits<const BYTES: usize, const DIGITS: usize>(id: &[u8; BYTES]) -> [u8; DIGITS] {
    const { assert!(DIGITS == 2 * BYTES, "two digits a byte") }
    let mut digits = [b'0'; DIGITS];
    let (pairs, _) = digits.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(id) {
        let byte = u16::from(*byte);
        let nibbles = (byte >> 4 | byte << 8) & 0x0f0f;
        // Only these reach 16 when 6 is added.
        let above_nine = (nibbles + 0x0606) >> 4 & 0x0101;
        let letters = above_nine * u16::from(b'a' - b'0' - 10);
        *pair = (nibbles + 0x3030 + letters).to_le_bytes();
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_two_lower_case_digits() {
        let every: [u8; 256] = std::array::from_fn(|byte| byte as u8);

        let digits: [u8; 512] = hex_digits(&every);

        let expected: String = every.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(str::from_utf8(&digits).unwrap(), expected);
    }
}
