//! Panics: counted, told once, with the place where they happened.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, PanicHookInfo};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::outcome::{Exception, ExceptionKind};

/// Longest panic message that is kept, in characters.
const MESSAGE_MAX_CHARS: usize = 512;

static PANICS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics of this process so far.
pub(crate) fn count() -> u64 {
    PANICS.load(Relaxed)
}

/// Puts a hook before the present one: a panic in a request is told on the request's line, any other by an
/// ERROR event and, because it ends a thread, by the present hook as well.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let present = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !tell(info) {
                present(info);
            }
        }));
    });
}

/// Whether the request's line will tell it.
fn tell(info: &PanicHookInfo<'_>) -> bool {
    PANICS.fetch_add(1, Relaxed);
    let text: String = payload_text(info.payload())
        .chars()
        .take(MESSAGE_MAX_CHARS)
        .collect();
    let message = match info.location() {
        Some(location) => format!("{text} at {}:{}", location.file(), location.line()),
        None => text,
    };
    if GUARDED.get() {
        LAST.set(Some(message));
    } else {
        tracing::error!(target: "gatewayz::panic", exception_type = "panic", "Panic: {message}");
    }
    GUARDED.get()
}

/// Runs something that catches its panics, and turns what it caught into an exception with its place.
pub(crate) fn guarded<T>(run: impl FnOnce() -> Result<T, Box<dyn Any + Send>>) -> Result<T, Exception> {
    let outer = GUARDED.replace(true);
    let result = run();
    GUARDED.set(outer);
    result.map_err(|payload| {
        let message = LAST.take().unwrap_or_else(|| payload_text(&*payload).to_owned());
        Exception {
            kind: ExceptionKind::Panic,
            message,
        }
    })
}

fn payload_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without text")
}
