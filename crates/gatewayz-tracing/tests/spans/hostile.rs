//! Uses of spans that no careful code makes, and many threads at once.

use std::collections::HashSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use gatewayz_tracing::SpanSubscriber;
use tracing::{Dispatch, Span, dispatcher};

use crate::kit::{Export, Heard};

/// A value that uses spans while it is read.
struct Meddler<'a>(&'a Span);

impl fmt::Debug for Meddler<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.record("state", "seen");
        self.0
            .in_scope(|| tracing::info!("read while {}", tracing::info_span!("within").is_disabled()));
        formatter.write_str("meddler")
    }
}

/// A value that cannot be read.
struct Broken;

impl fmt::Debug for Broken {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("read a broken value")
    }
}

fn subscriber(export: &Export, heard: &Heard) -> Dispatch {
    Dispatch::new(SpanSubscriber::new(export.tracer.clone(), heard.clone()))
}

#[test]
fn a_value_may_use_the_span_it_is_recorded_on() {
    let (export, heard) = (Export::start(), Heard::default());
    dispatcher::with_default(&subscriber(&export, &heard), || {
        let span = tracing::info_span!(
            "outer",
            state = tracing::field::Empty,
            value = tracing::field::Empty
        );
        span.record("value", tracing::field::debug(Meddler(&span)));
        span.in_scope(|| tracing::info!(meddler = ?Meddler(&span), "event"));
    });

    let names: Vec<String> = export.spans().into_iter().map(|span| span.name).collect();

    assert_eq!(names, ["within", "outer"]);
    assert!(
        heard.scopes().iter().all(|scope| scope.len() == 1),
        "{:?}",
        heard.scopes()
    );
}

#[test]
fn a_value_that_panics_leaves_no_span_and_no_value_behind() {
    let (export, heard) = (Export::start(), Heard::default());
    dispatcher::with_default(&subscriber(&export, &heard), || {
        let outer = tracing::info_span!("outer", value = tracing::field::Empty).entered();
        let opened = catch_unwind(|| tracing::info_span!("broken", before = 1, value = ?Broken));
        let recorded = catch_unwind(AssertUnwindSafe(|| {
            outer.record("value", tracing::field::debug(Broken));
        }));
        assert!(opened.is_err() && recorded.is_err());

        let after = tracing::info_span!("after", value = 2).entered();
        after.record("value", 3);
        tracing::info!("event");
    });

    let spans = export.spans();

    let [after, outer] = &spans[..] else {
        panic!("{spans:#?}")
    };
    assert_eq!((after.name.as_str(), outer.name.as_str()), ("after", "outer"));
    assert_eq!(after.parent_span_id, outer.span_id);
    assert_eq!(heard.scopes(), [["value=Integer(3) ", ""]]);
}

#[test]
fn a_parent_that_is_closed_is_no_parent() {
    let (export, heard) = (Export::start(), Heard::default());
    dispatcher::with_default(&subscriber(&export, &heard), || {
        let closed = tracing::info_span!("closed").id();
        // Takes the place of the closed one.
        let _other = tracing::info_span!("other");
        let _below = tracing::info_span!(parent: closed.clone(), "below");
        tracing::info!(parent: closed, "event");
    });

    let spans = export.spans();

    assert_eq!(spans.len(), 3);
    assert!(
        spans.iter().all(|span| span.parent_span_id.is_empty()),
        "{spans:#?}"
    );
    assert_eq!(heard.scopes(), [Vec::<String>::new()]);
}

#[test]
fn a_subscriber_does_not_take_the_spans_of_another_for_its_own() {
    let (export, heard) = (Export::start(), Heard::default());
    let (other, nobody) = (Export::start(), Heard::default());
    let (ours, theirs) = (subscriber(&export, &heard), subscriber(&other, &nobody));

    dispatcher::with_default(&theirs, || {
        let _foreign = tracing::info_span!("foreign").entered();
        dispatcher::with_default(&ours, || {
            // Both are the first of their subscriber, so their ids are the same.
            let own = tracing::info_span!("own");
            tracing::info!("in none");
            let _own = own.entered();
            tracing::info!("event");
        });
        tracing::info!("event");
    });
    drop((ours, theirs));

    let spans = export.spans();
    assert_eq!(spans.len(), 1);
    assert!(spans[0].parent_span_id.is_empty());
    assert_eq!(other.spans().len(), 1);
    let depths = |heard: &Heard| -> Vec<usize> { heard.scopes().iter().map(Vec::len).collect() };
    assert_eq!((depths(&heard), depths(&nobody)), (vec![0, 1], vec![1]));
}

#[test]
fn spans_opened_on_one_thread_and_closed_on_another_are_exported_once_each() {
    const THREADS: u64 = 4;
    const EACH: u64 = 2_000;
    let (export, heard) = (Export::start(), Heard::default());
    let dispatch = subscriber(&export, &heard);
    let root = dispatcher::with_default(&dispatch, || tracing::info_span!("root"));

    let (hand_over, received) = mpsc::channel::<Span>();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (dispatch, root, hand_over) = (dispatch.clone(), root.clone(), hand_over.clone());
            std::thread::spawn(move || {
                dispatcher::with_default(&dispatch, || {
                    for number in 0..EACH {
                        let span = tracing::info_span!(parent: &root, "child", thread, number);
                        let _ = span.enter();
                        hand_over.send(span).unwrap();
                    }
                });
            })
        })
        .collect();
    drop((hand_over, root));
    for span in received {
        span.in_scope(|| drop(span.clone()));
    }
    for thread in threads {
        thread.join().unwrap();
    }
    drop(dispatch);

    let spans = export.spans();
    let (root, children) = spans.split_last().unwrap();
    let ids: HashSet<&[u8]> = children.iter().map(|span| span.span_id.as_slice()).collect();
    assert_eq!(root.name, "root");
    assert_eq!(ids.len() as u64, THREADS * EACH);
    assert!(children.iter().all(|span| span.parent_span_id == root.span_id));
}
