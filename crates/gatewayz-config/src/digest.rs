//! Keys that are configured by their SHA-256.

/// The SHA-256 that 64 hexadecimal digits of either case say; `None` for any other text.
#[must_use]
pub fn sha256_from_hex(digits: &str) -> Option<[u8; 32]> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let mut digest = [0; 32];
    if pairs.len() != digest.len() {
        return None;
    }
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        *byte = value(*high)? << 4 | value(*low)?;
    }
    Some(digest)
}

fn value(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_either_case_are_read_in_order() {
        let digits = format!("00fF{}aB", "10".repeat(29));

        let digest = sha256_from_hex(&digits).unwrap();

        assert_eq!(digest[..3], [0x00, 0xff, 0x10]);
        assert_eq!(digest[31], 0xab);
    }

    #[test]
    fn any_other_text_is_refused() {
        for text in [
            String::new(),
            "a".repeat(63),
            "a".repeat(65),
            "a".repeat(66),
            format!("{}g", "a".repeat(63)),
            format!("+{}", "a".repeat(63)),
            format!(" {}", "a".repeat(63)),
            "ü".repeat(32),
        ] {
            assert_eq!(sha256_from_hex(&text), None, "{text:?}");
        }
    }
}
