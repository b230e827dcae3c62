//! The spans that this thread is in.

use std::cell::RefCell;

use tracing::span::Id;

thread_local! {
    /// Number of the subscriber and the span, outermost first.
    static ENTERED: RefCell<Vec<(u32, Id)>> = const { RefCell::new(Vec::new()) };
}

/// Enters a span. While the thread ends nothing is entered any more.
pub(super) fn push(subscriber: u32, id: &Id) {
    let _ = ENTERED.try_with(|entered| entered.borrow_mut().push((subscriber, id.clone())));
}

/// Leaves a span, mostly the innermost.
pub(super) fn remove(subscriber: u32, id: &Id) {
    let _ = ENTERED.try_with(|entered| {
        let mut entered = entered.borrow_mut();
        let is_it = |(number, other): &(u32, Id)| *number == subscriber && other == id;
        if entered.last().is_some_and(is_it) {
            entered.pop();
        } else if let Some(position) = entered.iter().rposition(is_it) {
            entered.remove(position);
        }
    });
}

/// The innermost span of a subscriber.
pub(super) fn innermost(subscriber: u32) -> Option<Id> {
    let innermost = ENTERED.try_with(|entered| {
        let entered = entered.borrow();
        let mut from_inside = entered.iter().rev();
        from_inside
            .find(|(number, _)| *number == subscriber)
            .map(|(_, id)| id.clone())
    });
    innermost.ok().flatten()
}
