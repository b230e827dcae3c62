//! Names of fields as keys of a line, worked out once for each name and thread.

use std::cell::RefCell;

use crate::fields::{CLOSING_BYTES, KEY_BYTES, RESERVED};
use crate::json::write_escaped;

/// Namespaces of OpenTelemetry's conventions: on a span they are for the exporter, and no line shows them.
const ATTRIBUTES: [&str; 6] = ["error.", "gen_ai.", "http.", "otel.", "peer.", "server."];
/// Namespaces whose fields are instructions for the OpenTelemetry bridge and the `log` bridge, not data.
const INSTRUCTIONS: [&str; 2] = ["otel.", "log."];
/// Names that a thread remembers; a service has some hundred.
const SLOTS: usize = 1 << 8;

/// A field's name as it is written.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// `,"name":`; empty when the name is too long to be written.
    pub(crate) bytes: Box<[u8]>,
    /// Whether no line shows it.
    pub(crate) is_instruction: bool,
    /// Whether a line does not show it when it is a span's.
    pub(crate) is_attribute: bool,
}

impl Key {
    fn new(name: &'static str) -> Self {
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
            name,
            bytes: bytes.into(),
            is_instruction: is_in(&INSTRUCTIONS),
            is_attribute: is_in(&ATTRIBUTES),
        }
    }

    /// Shows the key of `name` to `look`.
    pub(crate) fn with<T>(name: &'static str, mut look: impl FnMut(&Self) -> T) -> T {
        thread_local!(static KNOWN: RefCell<Vec<Option<Key>>> = const { RefCell::new(Vec::new()) });
        let known = KNOWN.try_with(|known| {
            let mut known = known.try_borrow_mut().ok()?;
            if known.is_empty() {
                known.resize_with(SLOTS, || None);
            }
            let slot = &mut known[slot(name)];
            let key = match slot {
                Some(key) if std::ptr::eq(key.name, name) => key,
                Some(_) | None => slot.insert(Self::new(name)),
            };
            Some(look(key))
        });
        // A thread that ends knows none any more, and one that looks at a key already gets the other worked out anew.
        known.ok().flatten().unwrap_or_else(|| look(&Self::new(name)))
    }
}

/// By its address: names are parts of the program.
fn slot(name: &'static str) -> usize {
    // Fibonacci hashing: the upper bits of the product depend on every bit; as many are kept as slots need.
    let address = name.as_ptr().addr() as u64;
    (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
}
