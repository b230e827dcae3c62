//! A subscriber that keeps open spans itself.
//!
//! `tracing-subscriber`'s registry serves any set of layers: each span costs it two boxed extensions with a map around
//! them, and several looks at its slab at every step. Spans that only this crate and a writer of events look at can be
//! kept for a third of that (docs/adr/0005).

mod entered;
mod spare;
mod store;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_core::LevelFilter;
use tracing_core::span::Current;

use crate::current::{is_wanted, or_request};
use crate::layer::SpanState;
use crate::server_span::ServerSpan;
use crate::tracer::Tracer;
use crate::w3c::TraceContext;
use store::Store;

/// The other half of a [`SpanSubscriber`]: which callsites are enabled, and what becomes of events.
///
/// What is given to [`Around::each`] runs under a lock: it must not open spans nor write events.
pub trait Events: Send + Sync + 'static {
    /// Whether a callsite is enabled; each is unless this says otherwise.
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    /// The loudest level at which any callsite is enabled; all of them unless this says otherwise.
    fn max_level(&self) -> LevelFilter {
        LevelFilter::TRACE
    }

    /// Takes an event; `around` knows the spans that it is in.
    fn event(&self, event: &Event<'_>, around: &Around<'_>);
}

/// The spans around an event.
pub struct Around<'a> {
    subscriber: &'a SpanSubscriber,
    innermost: Option<Id>,
}

impl fmt::Debug for Around<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Around")
            .field("innermost", &self.innermost)
            .finish_non_exhaustive()
    }
}

impl Around<'_> {
    /// Shows each span to `look`, the innermost first; `false` when the event is in none.
    pub fn each(&self, mut look: impl FnMut(&SpanState)) -> bool {
        let mut next = self.innermost.clone();
        let mut is_inside = false;
        while let Some(id) = next {
            next = self
                .subscriber
                .store
                .with(&id, |span| {
                    is_inside = true;
                    look(&span.state);
                    span.parent.clone()
                })
                .flatten();
        }
        is_inside
    }
}

/// An open span.
struct OpenSpan {
    metadata: &'static Metadata<'static>,
    /// Held open by this one.
    parent: Option<Id>,
    state: SpanState,
}

/// Makes a span of each `tracing` span, as [`SpanLayer`](crate::SpanLayer) does, and hands events to one writer.
pub struct SpanSubscriber {
    tracer: Tracer,
    events: Box<dyn Events>,
    store: Store,
    /// Tells its entered spans from those of another subscriber on the same thread.
    number: u32,
}

impl fmt::Debug for SpanSubscriber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SpanSubscriber")
            .field("tracer", &self.tracer)
            .finish_non_exhaustive()
    }
}

impl SpanSubscriber {
    /// Spans go to `tracer`, events to `events`.
    #[must_use]
    pub fn new(tracer: Tracer, events: impl Events) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self {
            tracer,
            events: Box::new(events),
            store: Store::default(),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The context of an open span.
    pub(crate) fn context(&self, id: &Id) -> Option<TraceContext> {
        self.store.with(id, |span| span.state.identity().context.clone())
    }

    /// The `tracing` span that stands for a request.
    fn open_request(&self, attributes: &Attributes<'_>, server: Arc<ServerSpan>) -> Id {
        server.record(|visit| attributes.record(visit));
        self.store.insert(OpenSpan {
            metadata: attributes.metadata(),
            parent: None,
            state: SpanState::Server(server),
        })
    }

    /// Whether this thread is in one of its spans.
    pub(crate) fn is_inside(&self) -> bool {
        entered::innermost(self.number).is_some()
    }

    fn close(&self, span: OpenSpan) -> Option<Id> {
        if let SpanState::Local(mut local) = span.state {
            local.export(&self.tracer, span.metadata.name());
            local.clear();
            spare::keep(local);
        }
        span.parent
    }
}

impl Subscriber for SpanSubscriber {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Whoever changes the answer rebuilds the cache of interests, so a disabled callsite costs nothing.
        if self.events.enabled(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.events.enabled(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.events.max_level())
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        if let Some(server) = ServerSpan::take_pending() {
            return self.open_request(attributes, server);
        }
        let is_contextual = attributes.is_contextual();
        let parent = if is_contextual {
            entered::innermost(self.number)
        } else {
            attributes.parent().cloned()
        };
        let mut local = spare::take();
        // Values are foreign code that may panic, and would leave a parent behind that nobody releases.
        attributes.record(local.said());
        let parent = parent.filter(|parent| {
            let held = self.store.hold(parent, |span| local.begin_below(&span.state));
            held.is_some()
        });
        if parent.is_none() {
            local.begin_on_thread(&self.tracer, is_contextual);
        }
        self.store.insert(OpenSpan {
            metadata: attributes.metadata(),
            parent,
            state: SpanState::Local(local),
        })
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let server = self.store.with(id, |span| match &span.state {
            SpanState::Server(server) => Some(Arc::clone(server)),
            SpanState::Local(_) => None,
        });
        if let Some(Some(server)) = server {
            return server.record(|visit| values.record(visit));
        }
        // Values are foreign code that may write events of its own, so they are read before the span is locked.
        spare::lend_said(|said| {
            values.record(said);
            self.store.with(id, |span| {
                if let SpanState::Local(local) = &mut span.state {
                    local.said().take(said);
                }
            });
            said.clear();
        });
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event_enabled(&self, event: &Event<'_>) -> bool {
        is_wanted(event)
    }

    fn event(&self, event: &Event<'_>) {
        let innermost = if event.is_contextual() {
            entered::innermost(self.number)
        } else {
            event.parent().cloned()
        };
        let around = Around {
            subscriber: self,
            innermost,
        };
        self.events.event(event, &around);
    }

    fn enter(&self, id: &Id) {
        entered::push(self.number, id);
    }

    fn exit(&self, id: &Id) {
        entered::remove(self.number, id);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.store.hold(id, |_| ());
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let Some(span) = self.store.release(&id) else {
            return false;
        };
        let mut held = self.close(span);
        while let Some(parent) = held {
            held = self.store.release(&parent).and_then(|span| self.close(span));
        }
        true
    }

    fn current_span(&self) -> Current {
        let current = entered::innermost(self.number)
            .and_then(|id| Some((self.store.with(&id, |span| span.metadata)?, id)));
        match current {
            Some((metadata, id)) => Current::new(id, metadata),
            None => or_request(Current::none()),
        }
    }
}
