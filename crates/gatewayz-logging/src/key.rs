//! Names of fields as keys of a line, worked out once for each name and thread.

use crate::fields::{CLOSING_BYTES, KEY_BYTES, RESERVED};
use crate::json::write_escaped;
use crate::known::Known;

/// Namespaces of OpenTelemetry's conventions: on a span they are for the exporter, and no line shows them.
const ATTRIBUTES: [&str; 6] = ["error.", "gen_ai.", "http.", "otel.", "peer.", "server."];
/// Namespaces whose fields are instructions for the OpenTelemetry bridge and the `log` bridge, not data.
const INSTRUCTIONS: [&str; 2] = ["otel.", "log."];

/// A field's name as it is written.
#[derive(Debug)]
pub(crate) struct Key {
    /// `,"name":`; empty when the name is too long to be written.
    pub(crate) bytes: Box<[u8]>,
    /// Whether no line shows it.
    pub(crate) is_instruction: bool,
    /// Whether a line does not show it when it is a span's.
    pub(crate) is_attribute: bool,
}

impl Key {
    fn new(name: &str) -> Self {
        let is_in = |namespaces: &[&str]| namespaces.iter().any(|namespace| name.starts_with(namespace));
        let mut bytes = Vec::new();
        if name.len() <= KEY_BYTES - CLOSING_BYTES {
            bytes.extend_from_slice(b",\"");
            let plain = name.strip_prefix("r#").unwrap_or(name);
            write_escaped(plain, KEY_BYTES, &mut bytes);
            if RESERVED.contains(&plain) {
                bytes.push(b'_');
            }
            bytes.extend_from_slice(b"\":");
        }
        Self {
            bytes: bytes.into(),
            is_instruction: is_in(&INSTRUCTIONS),
            is_attribute: is_in(&ATTRIBUTES),
        }
    }

    /// Shows the key of `name` to `look`.
    pub(crate) fn with<T>(name: &'static str, look: impl FnMut(&Self) -> T) -> T {
        thread_local!(static KNOWN: Known<Key> = const { Known::new() });
        Known::with(&KNOWN, name, Self::new, look)
    }
}
