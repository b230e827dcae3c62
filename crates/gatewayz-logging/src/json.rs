//! JSON text that no terminal, log reader or splitter can misread.

/// One entry per byte: whether the byte can be copied as it is.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        plain[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    plain
};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `text` escaped for a JSON string, without the quotes, and stops before `limit` bytes are passed.
///
/// Besides what JSON demands, DEL, C1 controls, zero-width and bidirectional characters, line and paragraph
/// separators, byte order marks and noncharacters are written as `\u` and four digits: they can hide or reorder
/// text in a terminal. Returns whether everything fitted.
#[inline]
pub fn write_escaped(text: &str, limit: usize, out: &mut Vec<u8>) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() <= limit && is_plain(bytes) {
        out.extend_from_slice(bytes);
        return true;
    }
    write_by_character(text, limit, out)
}

/// A function of its own, so that the plain case need not save this one's registers.
#[inline(never)]
fn write_by_character(text: &str, limit: usize, out: &mut Vec<u8>) -> bool {
    let end = out.len().saturating_add(limit);
    for character in text.chars() {
        let mut units = [0; 2];
        let needed = match character {
            '"' | '\\' | '\n' | '\r' | '\t' => 2,
            _ if is_hidden(character) => 6 * character.len_utf16(),
            _ => character.len_utf8(),
        };
        if out.len() + needed > end {
            return false;
        }
        match character {
            '"' => out.extend_from_slice(br#"\""#),
            '\\' => out.extend_from_slice(br"\\"),
            '\n' => out.extend_from_slice(br"\n"),
            '\r' => out.extend_from_slice(br"\r"),
            '\t' => out.extend_from_slice(br"\t"),
            _ if is_hidden(character) => {
                for unit in character.encode_utf16(&mut units) {
                    write_unicode_escape(*unit, out);
                }
            }
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    true
}

/// Whether all bytes can be copied as they are. Comparing eight at a time, the compiler needs no loop over each.
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    let all = |eight: &[u8; 8]| {
        eight.iter().fold(true, |plain, byte| {
            plain & (*byte >= 0x20) & (*byte < 0x7f) & (*byte != b'"') & (*byte != b'\\')
        })
    };
    let (eights, _) = bytes.as_chunks::<8>();
    match bytes.last_chunk::<8>() {
        // The last eight once more, instead of what is left over one by one.
        Some(last) => eights.iter().all(all) && all(last),
        None => bytes.iter().all(|byte| PLAIN[*byte as usize]),
    }
}

fn write_unicode_escape(unit: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(br"\u");
    for shift in [12, 8, 4, 0] {
        out.push(HEX[usize::from(unit >> shift & 0xf)]);
    }
}

/// Characters that show nothing, or that change how their neighbours are shown.
fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fdd0}'..='\u{fdef}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    ) || (character as u32) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = Vec::new();
        assert!(write_escaped(text, usize::MAX / 2, &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn characters_that_a_terminal_obeys_are_written_as_escapes() {
        let hostile =
            "\u{1b}[31m \u{9b}31m \u{202e} \u{2066} \u{2028} \u{feff} \u{7f} \u{200b} \0 \u{e0041} \u{ffff}";

        let safe = escaped(hostile);

        assert!(safe.chars().all(|character| !is_hidden(character)), "{safe}");
        assert_eq!(
            serde_json::from_str::<String>(&format!("\"{safe}\"")).unwrap(),
            hostile
        );
    }

    #[test]
    fn every_byte_is_told_from_plain_ones_at_every_place_of_a_word() {
        for byte in 0..=u8::MAX {
            for place in 0..11 {
                let mut text = *b"azAZ09 ~!#]";
                text[place] = byte;

                assert_eq!(is_plain(&text), PLAIN[usize::from(byte)], "{byte:#x} at {place}");
            }
        }
    }

    #[test]
    fn a_text_beyond_the_limit_is_cut_on_a_character() {
        let mut out = b"x".to_vec();

        let whole = write_escaped("aé\n\u{1f600}", 5, &mut out);

        assert!(!whole);
        assert_eq!(out, "xaé\\n".as_bytes());
    }

    proptest! {
        #[test]
        fn any_text_comes_back_from_an_independent_parser(text in any::<String>()) {
            let parsed: String = serde_json::from_str(&format!("\"{}\"", escaped(&text))).unwrap();

            prop_assert_eq!(parsed, text);
        }
    }
}
