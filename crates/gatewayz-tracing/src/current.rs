//! The request being served on this thread, and the subscriber that makes it the current span.
//!
//! A span in `tracing`'s registry costs more to open, enter and close than all three signals of a request. So the
//! request stays outside of it, in a thread-local set at each poll, and enters it only when code asks for
//! `Span::current()`; children and events find it either way.

use std::any::Any;
use std::cell::RefCell;
use std::sync::Arc;

use gatewayz_delivery::delivering;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Metadata, Span, Subscriber};
use tracing_core::LevelFilter;
use tracing_core::span::Current;
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::layer::SpanState;
use crate::server_span::ServerSpan;
use crate::spans::SpanSubscriber;
use crate::w3c::TraceContext;

thread_local! {
    static CURRENT: RefCell<Option<Arc<ServerSpan>>> = const { RefCell::new(None) };
}

/// Runs `poll` as part of the request of `span`; `span` is back afterwards, also after a panic.
pub fn in_request<T>(span: &mut Option<Arc<ServerSpan>>, poll: impl FnOnce() -> T) -> T {
    // A thread that ends may have dropped its own already.
    let outer = CURRENT.try_with(|current| current.replace(span.take()));
    let outer = outer.ok().flatten();
    let _restore = Restore { span, outer };
    poll()
}

struct Restore<'a> {
    span: &'a mut Option<Arc<ServerSpan>>,
    outer: Option<Arc<ServerSpan>>,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        if let Ok(span) = CURRENT.try_with(|current| current.replace(self.outer.take())) {
            *self.span = span;
        }
    }
}

/// The request being served on this thread; `None` outside of requests.
#[must_use]
pub fn current_request() -> Option<Arc<ServerSpan>> {
    CURRENT
        .try_with(|current| current.borrow().clone())
        .ok()
        .flatten()
}

/// The context of `span`, to be sent along with a call; `None` when neither a
/// [`SpanSubscriber`] nor a [`SpanLayer`](crate::SpanLayer) has seen it.
#[must_use]
pub fn context_of(span: &Span) -> Option<TraceContext> {
    span.with_subscriber(|(id, dispatch)| {
        if let Some(spans) = dispatch.downcast_ref::<SpanSubscriber>() {
            return spans.context(id);
        }
        let registry = match dispatch.downcast_ref::<RequestSubscriber>() {
            Some(wrapped) => wrapped.inner.downcast_ref::<Registry>()?,
            None => dispatch.downcast_ref::<Registry>()?,
        };
        let span = registry.span(id)?;
        let extensions = span.extensions();
        extensions
            .get::<SpanState>()
            .map(|state| state.identity().context.clone())
    })
    .flatten()
}

/// The context of the innermost current span.
#[must_use]
pub fn current_context() -> Option<TraceContext> {
    let inside = tracing::dispatcher::get_default(|dispatch| {
        if let Some(spans) = dispatch.downcast_ref::<SpanSubscriber>() {
            return Some(spans.is_inside());
        }
        let wrapped = dispatch.downcast_ref::<RequestSubscriber>()?;
        Some(wrapped.inner.current_span().id().is_some())
    });
    match (inside, current_request()) {
        (Some(false), Some(request)) => Some(request.identity().context.clone()),
        _ => context_of(&Span::current()),
    }
}

/// Wraps a layered registry so that a request is its innermost span where no other is entered, as a [`SpanSubscriber`]
/// does by itself.
pub struct RequestSubscriber {
    inner: Box<dyn Subscriber + Send + Sync>,
}

impl std::fmt::Debug for RequestSubscriber {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RequestSubscriber")
    }
}

impl RequestSubscriber {
    /// Wraps `inner`, which has a [`SpanLayer`](crate::SpanLayer) over a [`Registry`].
    #[must_use]
    pub fn new(inner: impl Subscriber + Send + Sync + Any) -> Self {
        Self {
            inner: Box::new(inner),
        }
    }
}

impl Subscriber for RequestSubscriber {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.inner.register_callsite(metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.inner.enabled(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.inner.max_level_hint()
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.inner.new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.inner.record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.inner.record_follows_from(span, follows);
    }

    fn event_enabled(&self, event: &Event<'_>) -> bool {
        is_wanted(event) && self.inner.event_enabled(event)
    }

    fn event(&self, event: &Event<'_>) {
        self.inner.event(event);
    }

    fn enter(&self, span: &Id) {
        self.inner.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.inner.exit(span);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.inner.clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.inner.try_close(id)
    }

    fn current_span(&self) -> Current {
        or_request(self.inner.current_span())
    }
}

/// Whether an event is to be taken.
pub(crate) fn is_wanted(event: &Event<'_>) -> bool {
    // The clients that carry records out would make records of each delivery, which would be carried out too.
    delivering().is_none() || event.metadata().target().starts_with("gatewayz")
}

/// The span that stands for the request of this thread, where no span is `current`.
pub(crate) fn or_request(current: Current) -> Current {
    if current.id().is_some() {
        return current;
    }
    let Some(request) = current_request() else {
        return current;
    };
    let span = request.stand_in();
    match span.as_ref().and_then(|span| span.id().zip(span.metadata())) {
        Some((id, metadata)) => Current::new(id, metadata),
        None => current,
    }
}

/// Whether `dispatch` leads to a subscriber in which a request has a span.
pub(crate) fn knows_requests(dispatch: &Dispatch) -> bool {
    dispatch.is::<SpanSubscriber>() || dispatch.is::<RequestSubscriber>()
}
