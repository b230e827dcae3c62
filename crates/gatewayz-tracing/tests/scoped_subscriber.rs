//! A subscriber that some library puts in force for a while must not break the requests of the process.

use std::sync::{Arc, mpsc};

use gatewayz_tracing::sampler::Sampler;
use gatewayz_tracing::{Moment, RequestSubscriber, ServerSpan, Tracer, current_context, in_request};
use tracing::subscriber::NoSubscriber;
use tracing_subscriber::layer::SubscriberExt;

#[test]
fn the_current_span_of_a_request_can_be_asked_for_while_another_thread_has_its_own_subscriber() {
    let tracer = Tracer::new(Sampler::default(), 1_000, None);
    let layered = tracing_subscriber::registry().with(tracer.layer());
    tracing::subscriber::set_global_default(RequestSubscriber::new(layered)).unwrap();
    let span: Arc<ServerSpan<()>> = tracer.server_span(None, Moment::now(), ());
    let context = span.identity().context.clone();
    let mut current: Option<Arc<ServerSpan>> = Some(span);

    let (held, hold) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let other = std::thread::spawn(move || {
        let _scoped = tracing::subscriber::set_default(NoSubscriber::new());
        held.send(()).unwrap();
        let _ = released.recv();
    });
    hold.recv().unwrap();
    let during = in_request(&mut current, || {
        let _ = tracing::Span::current();
        current_context()
    });
    drop(release);
    other.join().unwrap();
    let after = in_request(&mut current, || {
        (tracing::Span::current().id(), current_context())
    });

    assert_eq!(during, Some(context.clone()));
    assert!(after.0.is_some());
    assert_eq!(after.1.map(|after| after.trace_id), Some(context.trace_id));
}
