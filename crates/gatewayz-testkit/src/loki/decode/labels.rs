//! Labels in the notation of a query: `{name="value", ...}`.

use std::str::CharIndices;

use super::super::received::Pairs;
use super::Refusal;

/// The labels without those that have an empty value.
pub(super) fn parse(text: &str) -> Result<Pairs, Refusal> {
    let mut rest = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .ok_or_else(|| malformed("unexpected end of input"))?;
    let mut labels = Pairs::new();
    while !rest.is_empty() {
        let (name, quoted) = rest
            .split_once("=\"")
            .ok_or_else(|| malformed("unexpected end of input"))?;
        let (value, length) = unquote(quoted)?;
        labels.insert(name.to_owned(), value);
        rest = quoted.get(length..).unwrap_or_default();
        rest = rest.trim_start_matches([',', ' ']);
    }
    labels.retain(|_, value| !value.is_empty());
    Ok(labels)
}

/// The message about the first name that Loki's parser stops at, `None` when all are names of labels.
pub(in super::super) fn invalid_name(labels: &Pairs) -> Option<Refusal> {
    labels.keys().find_map(|name| {
        let is_valid = |(place, symbol): (usize, char)| {
            symbol == '_' || symbol.is_ascii_alphabetic() || (place > 0 && symbol.is_ascii_digit())
        };
        let bad = name.chars().enumerate().find(|at| !is_valid(*at));
        let (_, symbol) = bad.or_else(|| name.is_empty().then_some((0, '=')))?;
        Some(malformed(&format!(
            "unexpected character inside braces: '{symbol}'"
        )))
    })
}

/// A quoted string of Go after its first quote: its value, and its length with the last quote.
fn unquote(text: &str) -> Result<(String, usize), Refusal> {
    let mut value = String::new();
    let mut symbols = text.char_indices();
    while let Some((at, symbol)) = symbols.next() {
        match symbol {
            '"' => return Ok((value, at + 1)),
            '\\' => value.push(escaped(&mut symbols).ok_or_else(|| malformed("unknown escape sequence"))?),
            '\n' => return Err(malformed("unterminated quoted string")),
            plain => value.push(plain),
        }
    }
    Err(malformed("unterminated quoted string"))
}

fn escaped(symbols: &mut CharIndices<'_>) -> Option<char> {
    let digits = match symbols.next()?.1 {
        symbol @ ('"' | '\\') => return Some(symbol),
        'n' => return Some('\n'),
        't' => return Some('\t'),
        'r' => return Some('\r'),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return None,
    };
    let code: String = symbols.take(digits).map(|(_, digit)| digit).collect();
    char::from_u32(u32::from_str_radix(&code, 16).ok()?)
}

fn malformed(message: &str) -> Refusal {
    Refusal::malformed(format!("couldn't parse labels: parse error: {message}"))
}
