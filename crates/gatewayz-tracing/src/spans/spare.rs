//! Closed spans and emptied fields, kept per thread so that the next ones need not allocate.

use std::cell::{Cell, RefCell};

use crate::local_span::{LocalSpan, Said};

/// Closed spans that a thread keeps: more than one request has open at a time.
const SPANS: usize = 32;

thread_local! {
    #[expect(clippy::vec_box, reason = "a span goes from here to the store and back without being copied")]
    static CLOSED: RefCell<Vec<Box<LocalSpan>>> = const { RefCell::new(Vec::new()) };
    static SAID: Cell<Option<Box<Said>>> = const { Cell::new(None) };
}

/// A span that has not begun: a closed one, or a new one when there is none, and while the thread ends.
pub(super) fn take() -> Box<LocalSpan> {
    let closed = CLOSED.try_with(|closed| closed.borrow_mut().pop());
    closed.ok().flatten().unwrap_or_default()
}

/// Keeps a closed span that holds nothing any more.
pub(super) fn keep(span: Box<LocalSpan>) {
    // A thread that ends has no use for it.
    let _ = CLOSED.try_with(|closed| {
        let mut closed = closed.borrow_mut();
        if closed.len() < SPANS {
            closed.push(span);
        }
    });
}

/// Lends empty fields, to be emptied again. Within a loan there is another one to be had.
pub(super) fn lend_said(run: impl FnOnce(&mut Said)) {
    let mut said = SAID.try_with(Cell::take).ok().flatten().unwrap_or_default();
    run(&mut said);
    let _ = SAID.try_with(|kept| kept.set(Some(said)));
}
