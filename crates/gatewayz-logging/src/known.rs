//! What is worked out from a text of the program, once for each text and thread.

use std::cell::RefCell;
use std::thread::LocalKey;

/// Texts that a thread remembers; a service has some hundred.
const SLOTS: usize = 1 << 8;

/// What was worked out, by the address of its text.
pub(crate) struct Known<T>(RefCell<Vec<Option<(&'static str, T)>>>);

impl<T> Known<T> {
    pub(crate) const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    /// Shows to `look` what `make` works out from `text`.
    pub(crate) fn with<R>(
        known: &'static LocalKey<Self>,
        text: &'static str,
        make: fn(&str) -> T,
        mut look: impl FnMut(&T) -> R,
    ) -> R {
        let seen = known.try_with(|Self(slots)| {
            let mut slots = slots.try_borrow_mut().ok()?;
            if slots.is_empty() {
                slots.resize_with(SLOTS, || None);
            }
            let slot = &mut slots[slot(text)];
            let made = match slot {
                Some((known, made)) if std::ptr::eq(*known, text) => made,
                Some(_) | None => &mut slot.insert((text, make(text))).1,
            };
            Some(look(made))
        });
        // A thread that ends knows nothing any more, and one that is looking already works the other out anew.
        seen.ok().flatten().unwrap_or_else(|| look(&make(text)))
    }
}

/// By its address: such texts are parts of the program.
fn slot(text: &'static str) -> usize {
    // Fibonacci hashing: the upper bits of the product depend on every bit; as many are kept as slots need.
    let address = text.as_ptr().addr() as u64;
    (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
}
