//! Whatever is done with spans, the result is what the layers make of it over `tracing-subscriber`'s registry.

use std::collections::HashMap;

use gatewayz_tracing::{SpanState, SpanSubscriber};
use opentelemetry_proto::tonic::trace::v1::Span as Exported;
use proptest::collection::vec;
use proptest::prelude::*;
use tracing::span::EnteredSpan;
use tracing::{Event, Span, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::kit::{Export, Heard, fields};

/// A step; numbers choose among the handles there are.
#[derive(Debug, Clone)]
enum Step {
    Open,
    OpenRoot,
    OpenBelow(usize),
    Enter(usize),
    Exit(usize),
    Clone(usize),
    Drop(usize),
    Record(usize, i64),
    Event,
    EventIn(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Open),
        1 => Just(Step::OpenRoot),
        2 => any::<usize>().prop_map(Step::OpenBelow),
        4 => any::<usize>().prop_map(Step::Enter),
        3 => any::<usize>().prop_map(Step::Exit),
        1 => any::<usize>().prop_map(Step::Clone),
        3 => any::<usize>().prop_map(Step::Drop),
        2 => (any::<usize>(), any::<i64>()).prop_map(|(which, value)| Step::Record(which, value)),
        3 => Just(Step::Event),
        1 => any::<usize>().prop_map(Step::EventIn),
    ]
}

impl<S> Layer<S> for Heard
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let scope = context.event_scope(event).into_iter().flatten();
        let fields = scope.map(|span| fields(span.extensions().get::<SpanState>().unwrap()));
        self.add(fields.collect());
    }
}

/// Takes the steps under the subscriber that is in force.
fn walk(steps: &[Step]) {
    let mut handles: Vec<(u64, Span)> = Vec::new();
    let mut entered: Vec<(u64, EnteredSpan)> = Vec::new();
    let mut opened = 0_u64;
    let mut next = || {
        opened += 1;
        opened
    };
    for step in steps {
        let chosen = |which: &usize| (!handles.is_empty()).then(|| which % handles.len().max(1));
        match step {
            Step::Open => {
                let number = next();
                let span = tracing::info_span!("inside", number, progress = tracing::field::Empty);
                handles.push((number, span));
            }
            Step::OpenRoot => {
                let number = next();
                let span =
                    tracing::info_span!(parent: None, "root", number, progress = tracing::field::Empty);
                handles.push((number, span));
            }
            Step::OpenBelow(which) => {
                let Some(index) = chosen(which) else { continue };
                let number = next();
                let parent = &handles[index].1;
                let span =
                    tracing::info_span!(parent: parent, "below", number, progress = tracing::field::Empty);
                handles.push((number, span));
            }
            Step::Enter(which) => {
                let Some(index) = chosen(which) else { continue };
                let (number, span) = &handles[index];
                // Entered twice, a span is the innermost one here and the outer one in the registry.
                if entered.iter().all(|(other, _)| other != number) {
                    entered.push((*number, span.clone().entered()));
                }
            }
            Step::Exit(which) => {
                if !entered.is_empty() {
                    drop(entered.remove(which % entered.len()));
                }
            }
            Step::Clone(which) => {
                let Some(index) = chosen(which) else { continue };
                handles.push(handles[index].clone());
            }
            Step::Drop(which) => {
                let Some(index) = chosen(which) else { continue };
                drop(handles.swap_remove(index));
            }
            Step::Record(which, value) => {
                let Some(index) = chosen(which) else { continue };
                handles[index].1.record("progress", value);
            }
            Step::Event => tracing::info!("event"),
            Step::EventIn(which) => {
                let Some(index) = chosen(which) else { continue };
                tracing::info!(parent: &handles[index].1, "event");
            }
        }
    }
    // The innermost first, as scopes end.
    while entered.pop().is_some() {}
    while handles.pop().is_some() {}
}

/// Spans without their random ids: a name, the parent's place in the list, a place for the trace, the attributes.
fn shapes(spans: &[Exported]) -> Vec<String> {
    let places: HashMap<&[u8], usize> = (0..)
        .zip(spans)
        .map(|(place, span)| (span.span_id.as_slice(), place))
        .collect();
    let mut traces: Vec<&[u8]> = Vec::new();
    let mut shapes = Vec::new();
    for span in spans {
        let trace = traces.iter().position(|trace| *trace == span.trace_id);
        let trace = trace.unwrap_or_else(|| {
            traces.push(&span.trace_id);
            traces.len() - 1
        });
        let parent = places.get(span.parent_span_id.as_slice());
        assert_eq!(parent.is_none(), span.parent_span_id.is_empty());
        shapes.push(format!("{} {parent:?} {trace} {:?}", span.name, span.attributes));
    }
    shapes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spans_and_the_scopes_of_events_are_those_of_the_registry(steps in vec(step(), 1..60)) {
        let (export, heard) = (Export::start(), Heard::default());
        let own = SpanSubscriber::new(export.tracer.clone(), heard.clone());
        tracing::subscriber::with_default(own, || walk(&steps));
        let (spans, scopes) = (shapes(&export.spans()), heard.scopes());

        let (export, heard) = (Export::start(), Heard::default());
        let registry = tracing_subscriber::registry().with(export.tracer.layer()).with(heard.clone());
        tracing::subscriber::with_default(registry, || walk(&steps));

        prop_assert_eq!(spans, shapes(&export.spans()));
        prop_assert_eq!(scopes, heard.scopes());
    }
}
