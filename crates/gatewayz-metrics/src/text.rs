//! Page text: names, label sets, escapes and numbers.

use std::io::Write as _;

/// Longest label value kept, in bytes; the rest is cut.
const LABEL_VALUE_BYTES: usize = 256;

pub(crate) fn is_metric_name(name: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':';
    name.bytes().next().is_some_and(first) && name.bytes().all(|byte| first(byte) || byte.is_ascii_digit())
}

/// Whether the name may be used; two leading underscores are Prometheus' own.
pub(crate) fn is_label_name(name: &str) -> bool {
    is_metric_name(name) && !name.contains(':') && !name.starts_with("__")
}

/// A counter's name as OpenMetrics knows the family.
pub(crate) fn without_total(name: &str) -> &str {
    name.strip_suffix("_total").unwrap_or(name)
}

/// The label set as it stands between the braces; equal text means the same series.
pub(crate) fn label_set<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut set = String::new();
    for (name, value) in pairs {
        if !set.is_empty() {
            set.push(',');
        }
        set.push_str(name);
        set.push_str("=\"");
        push_label_value(&mut set, value);
        set.push('"');
    }
    set
}

/// Control characters and the Unicode line separators become U+FFFD: the formats cannot escape them, NUL ends
/// the input of Prometheus' own parser, and readers that split lines would break on the others.
fn push_label_value(set: &mut String, value: &str) {
    let mut bytes = 0;
    for character in value.chars() {
        bytes += character.len_utf8();
        if bytes > LABEL_VALUE_BYTES {
            return;
        }
        match character {
            '\\' => set.push_str("\\\\"),
            '"' => set.push_str("\\\""),
            '\n' => set.push_str("\\n"),
            '\u{2028}' | '\u{2029}' => set.push('\u{fffd}'),
            other if other.is_control() => set.push('\u{fffd}'),
            other => set.push(other),
        }
    }
}

/// Help text; only OpenMetrics escapes the quote.
pub(crate) fn push_help(out: &mut Vec<u8>, help: &str, escape_quotes: bool) {
    for byte in help.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if escape_quotes => out.extend_from_slice(b"\\\""),
            0..0x20 | 0x7f => out.push(b' '),
            other => out.push(other),
        }
    }
}

pub(crate) fn push_integer(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// `steps / 10^decimals`, exactly.
pub(crate) fn push_decimal(out: &mut Vec<u8>, steps: u64, decimals: usize) {
    let scale = 10_u64.pow(u32::try_from(decimals).unwrap_or(0));
    push_integer(out, steps / scale);
    let fraction = steps % scale;
    if fraction == 0 {
        return;
    }
    out.push(b'.');
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(fraction);
    out.extend(std::iter::repeat_n(b'0', decimals - digits.len()));
    out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
}

pub(crate) fn push_float(out: &mut Vec<u8>, value: f64) {
    /// Below it every whole number is exact and short.
    const WHOLE: f64 = 1e15;

    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if value.abs() < WHOLE && value.fract() == 0.0 {
        out.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
    } else {
        // Writing to a vector cannot fail.
        let _ = write!(out, "{value:?}");
    }
}

/// A bucket bound: the same text in both formats, with a fraction as OpenMetrics asks.
pub(crate) fn bound_text(bound: f64) -> String {
    format!("{bound:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_label_value_is_escaped() {
        let set = label_set([("a", "q\"b\\n\nr\r\u{0}\u{2028}é")].into_iter());

        assert_eq!(set, "a=\"q\\\"b\\\\n\\nr\u{fffd}\u{fffd}\u{fffd}é\"");
    }

    #[test]
    fn a_long_label_value_is_cut_between_characters() {
        let value = format!("{}é{}", "a".repeat(255), "b".repeat(1_000));

        let set = label_set([("a", value.as_str())].into_iter());

        assert_eq!(set, format!("a=\"{}\"", "a".repeat(255)));
    }

    #[test]
    fn decimals_are_exact() {
        let cases = [
            (0, 9, "0"),
            (1, 9, "0.000000001"),
            (1_500_000_000, 9, "1.5"),
            (u64::MAX, 9, "18446744073.709551615"),
            (42, 0, "42"),
        ];

        for (steps, decimals, expected) in cases {
            assert_eq!(written(|out| push_decimal(out, steps, decimals)), expected);
        }
    }

    #[test]
    fn floats_have_the_spelling_of_the_formats() {
        let cases = [
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (-0.0, "0"),
            (-3.0, "-3"),
            (0.25, "0.25"),
            (1e300, "1e300"),
            (1.5e-9, "1.5e-9"),
        ];

        for (value, expected) in cases {
            assert_eq!(written(|out| push_float(out, value)), expected);
        }
        assert_eq!(bound_text(1.0), "1.0");
        assert_eq!(bound_text(0.0025), "0.0025");
    }

    #[test]
    fn names_are_checked() {
        assert!(is_metric_name("http:requests_total") && is_metric_name("_a9"));
        assert!(
            !is_metric_name("") && !is_metric_name("9a") && !is_metric_name("a-b") && !is_metric_name("é")
        );
        assert!(is_label_name("method"));
        assert!(!is_label_name("__name__") && !is_label_name("a:b"));
    }
}
