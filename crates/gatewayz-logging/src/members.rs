//! Fields that a request's own line gets from its handler.

use crate::fields::{RESERVED, write_display};
use crate::json::write_escaped;

/// Longest encoded form of all fields together, in bytes.
const LIMIT_BYTES: usize = 4096;
/// Room for a dozen fields: growing from nothing would copy them several times.
const FIRST_BYTES: usize = 512;
const FIRST_NAMES: usize = 16;
/// Longest text of one field, in bytes.
const TEXT_MAX_BYTES: usize = 512;
/// Keys of a request's line behind its fields, beside those that any line has.
const EXCEPTION: [&str; 2] = ["exception_type", "exception_message"];

/// Collects fields as JSON members, bounded in length and unable to override the line's own keys. Of two with one name
/// the first stays.
#[derive(Debug, Default)]
pub struct Members {
    bytes: Vec<u8>,
    names: Vec<&'static str>,
}

impl Members {
    /// A text; cut at 512 bytes.
    pub fn text(&mut self, name: &'static str, value: &str) {
        self.member(name, |out| {
            out.push(b'"');
            write_escaped(value, TEXT_MAX_BYTES, out);
            out.push(b'"');
        });
    }

    /// A whole number.
    pub fn integer(&mut self, name: &'static str, value: u64) {
        self.member(name, |out| {
            out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        });
    }

    /// A number; one that is not finite is left out, because JSON has no word for it.
    pub fn number(&mut self, name: &'static str, value: f64) {
        if value.is_finite() {
            self.member(name, |out| write_display(&value, out));
        }
    }

    /// The members as they stand in a line: each begins with a comma.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn member(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        let out = &mut self.bytes;
        if out.is_empty() {
            out.reserve(FIRST_BYTES);
            self.names.reserve(FIRST_NAMES);
        }
        if out.len() + name.len() + TEXT_MAX_BYTES > LIMIT_BYTES || self.names.contains(&name) {
            return;
        }
        self.names.push(name);
        out.extend_from_slice(b",\"");
        write_escaped(name, TEXT_MAX_BYTES, out);
        if RESERVED.contains(&name) || EXCEPTION.contains(&name) {
            out.push(b'_');
        }
        out.extend_from_slice(b"\":");
        write(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_json_members_that_override_nothing() {
        let mut members = Members::default();
        members.text("model", "gpt\"4\n");
        members.integer("attempts", 2);
        members.number("cost_usd", 0.000_125);
        members.number("broken", f64::NAN);
        members.text("status_code", "x");
        members.text("exception_type", "y");
        members.text("model", "z");

        let text = String::from_utf8(members.into_bytes()).unwrap();

        assert_eq!(
            text,
            r#","model":"gpt\"4\n","attempts":2,"cost_usd":0.000125,"status_code_":"x","exception_type_":"y""#
        );
    }

    #[test]
    fn fields_beyond_the_limit_are_left_out_whole() {
        let mut members = Members::default();

        for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
            members.text(name, &"x".repeat(10_000));
        }
        let bytes = members.into_bytes();

        assert!(bytes.len() <= LIMIT_BYTES);
        let line = format!("{{\"a\":1{}}}", str::from_utf8(&bytes).unwrap());
        serde_json::from_str::<serde_json::Value>(&line).unwrap();
    }
}
