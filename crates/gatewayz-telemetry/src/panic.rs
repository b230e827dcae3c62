//! Panics: counted, told once, with the place where they happened.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, PanicHookInfo};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::outcome::{Exception, ExceptionKind, MESSAGE_MAX_CHARS};

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Whether a request's line tells the panics of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    Absent,
    Present,
    /// There was a panic since it is present.
    Panicked,
}

thread_local! {
    static GUARD: Cell<Guard> = const { Cell::new(Guard::Absent) };
    /// Text of the panic that [`Guard::Panicked`] stands for.
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
    let text = payload_text(info.payload());
    let message = match info.location() {
        Some(location) => format!("{text} at {}:{}", location.file(), location.line()),
        None => text,
    };
    let is_guarded = GUARD.get() != Guard::Absent;
    if !is_guarded {
        tell_event(&message);
    } else if let Some(caught) = LAST.replace(Some(message)) {
        tell_event(&caught);
    }
    if is_guarded {
        GUARD.set(Guard::Panicked);
    }
    is_guarded
}

fn tell_event(message: &str) {
    tracing::error!(target: "gatewayz::panic", exception_type = "panic", "Panic: {message}");
}

/// Runs something that catches its panics, and turns what it caught into an exception with its place. A panic that was
/// caught inside, and fails nothing here, is told by an event.
pub(crate) fn guarded<T>(run: impl FnOnce() -> Result<T, Box<dyn Any + Send>>) -> Result<T, Exception> {
    let outer = GUARD.replace(Guard::Present);
    let result = run();
    let told = match GUARD.replace(outer) {
        Guard::Panicked => LAST.take(),
        Guard::Absent | Guard::Present => None,
    };
    match (result, told) {
        (Ok(value), None) => Ok(value),
        (Ok(value), Some(caught)) => {
            tell_event(&caught);
            Ok(value)
        }
        (Err(payload), told) => Err(Exception {
            kind: ExceptionKind::Panic,
            message: told.unwrap_or_else(|| payload_text(&*payload)),
        }),
    }
}

fn payload_text(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without text")
        .chars()
        .take(MESSAGE_MAX_CHARS)
        .collect()
}
