//! Any bytes at all: no panic, bounded state, and what is sent reads back the same.

use gatewayz_tracing::w3c::baggage::{Baggage, MAX_BAGGAGE_BYTES, MAX_MEMBERS};
use gatewayz_tracing::w3c::{MAX_TRACESTATE_BYTES, TraceContext, TraceState, extract, inject};
use opentelemetry::trace::{SpanId, TraceFlags, TraceId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Bytes that come close to being a header.
fn near_header() -> impl Strategy<Value = Vec<u8>> {
    let telling = select(b"ab01=,;% \t@-_\x00\x7f\xc3\xff".to_vec());
    prop_oneof![
        vec(any::<u8>(), 0..300),
        vec(telling, 0..600),
        "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.{0,20})?".prop_map(String::into_bytes),
        "([a-z0-9]{1,9}=[!-+.-:<>-~]{1,60},){0,60}".prop_map(String::into_bytes),
        (1..1_500_usize, "[a-z0-9@]{1,4}=[!-~]{1,4}[,;]")
            .prop_map(|(times, part)| part.repeat(times).into_bytes()),
    ]
}

/// A list that follows the grammar, sizes up to the limits.
fn valid_state() -> impl Strategy<Value = Vec<String>> {
    let key = (
        select(b"az09".to_vec()),
        select(b"az09_*/@-".to_vec()),
        0..256_usize,
    );
    let value = (
        select(b" !+-<>~a".to_vec()),
        0..256_usize,
        select(b"!+-<>~a".to_vec()),
    );
    let member = (key, value).prop_map(|((first, more, key_length), (start, value_length, last))| {
        let key = format!(
            "{}{}",
            char::from(first),
            char::from(more).to_string().repeat(key_length)
        );
        format!(
            "{key}={}{}",
            char::from(start).to_string().repeat(value_length),
            char::from(last)
        )
    });
    vec(member, 0..=32)
}

fn slices(headers: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
    headers.iter().map(Vec::as_slice)
}

fn sent(context: &TraceContext) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut traceparents, mut tracestates) = (Vec::new(), Vec::new());
    inject(context, &mut |name, value| match name {
        "traceparent" => traceparents.push(value.as_bytes().to_vec()),
        other => {
            assert_eq!(other, "tracestate");
            tracestates.push(value.as_bytes().to_vec());
        }
    });
    (traceparents, tracestates)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_break_the_reader_or_grow_what_it_keeps(
        traceparents in vec(near_header(), 0..3),
        tracestates in vec(near_header(), 0..5),
    ) {
        let Some(context) = extract(slices(&traceparents), slices(&tracestates)) else { return Ok(()) };

        prop_assert_eq!(traceparents.len(), 1);
        prop_assert!(context.trace_id != TraceId::INVALID && context.span_id != SpanId::INVALID);
        prop_assert!(context.flags.to_u8() <= 3);
        if let Some(state) = &context.state {
            prop_assert!((1..=32).contains(&state.iter().count()));
            prop_assert!(state.as_str().len() <= MAX_TRACESTATE_BYTES);
        }
        let (traceparents, tracestates) = sent(&context);
        prop_assert_eq!(extract(slices(&traceparents), slices(&tracestates)), Some(context));
    }

    #[test]
    fn no_bytes_break_the_state_reader(headers in vec(near_header(), 0..5)) {
        let Some(state) = TraceState::parse(slices(&headers)) else { return Ok(()) };

        prop_assert!(state.as_str().len() <= MAX_TRACESTATE_BYTES);
        prop_assert_eq!(TraceState::parse(std::iter::once(state.as_str().as_bytes())), Some(state));
    }

    #[test]
    fn no_bytes_break_the_baggage_reader(headers in vec(near_header(), 0..5)) {
        let Some(baggage) = Baggage::parse(slices(&headers)) else { return Ok(()) };

        prop_assert!(baggage.as_str().len() <= MAX_BAGGAGE_BYTES);
        prop_assert!((1..=MAX_MEMBERS).contains(&baggage.iter().count()));
        for member in baggage.iter() {
            prop_assert!(!member.key().is_empty() && member.value().len() <= 3 * MAX_BAGGAGE_BYTES);
            prop_assert!(member.properties().all(|(name, _)| !name.is_empty()));
        }
        prop_assert_eq!(Baggage::parse(std::iter::once(baggage.as_str().as_bytes())), Some(baggage));
    }

    #[test]
    fn what_is_sent_reads_back_the_same(
        trace_id in 1_u128..,
        span_id in 1_u64..,
        flags in 0_u8..4,
        members in valid_state(),
    ) {
        let state = TraceState::parse(members.iter().map(String::as_bytes));
        let context = TraceContext {
            trace_id: TraceId::from(trace_id),
            span_id: SpanId::from(span_id),
            flags: TraceFlags::new(flags),
            state,
        };

        let (traceparents, tracestates) = sent(&context);

        prop_assert_eq!(extract(slices(&traceparents), slices(&tracestates)), Some(context));
    }

    #[test]
    fn a_list_within_the_limits_is_kept_whole(members in valid_state()) {
        let mut keys: Vec<_> = members.iter().map(|member| member.split_once('=').unwrap().0).collect();
        keys.sort_unstable();
        keys.dedup();
        let list = members.join(",");
        prop_assume!(keys.len() == members.len() && !members.is_empty() && list.len() <= MAX_TRACESTATE_BYTES);

        let state = TraceState::parse(members.iter().map(String::as_bytes)).unwrap();

        prop_assert_eq!(state.as_str(), list);
    }
}
