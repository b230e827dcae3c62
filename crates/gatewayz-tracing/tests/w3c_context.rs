//! Trace context beyond the suite: flags, limits, rendering, and the OpenTelemetry interface.

use std::collections::HashMap;

use gatewayz_tracing::w3c::{
    MAX_TRACESTATE_BYTES, RANDOM_FLAG, StrictTraceContextPropagator, TraceContext, TraceState, extract,
    inject,
};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId};

const HEADER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn context_of(traceparent: &str) -> Option<TraceContext> {
    extract([traceparent.as_bytes()].into_iter(), [].into_iter())
}

fn state_of(headers: &[&str]) -> Option<String> {
    let state = TraceState::parse(headers.iter().map(|header| header.as_bytes()))?;
    Some(state.as_str().to_owned())
}

#[test]
fn a_well_formed_header_yields_its_ids_and_flags() {
    let context = context_of(HEADER).unwrap();

    assert_eq!(
        context.trace_id,
        TraceId::from(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c)
    );
    assert_eq!(context.span_id, SpanId::from(0xb7ad_6b71_6920_3331));
    assert_eq!((context.flags, context.state), (TraceFlags::SAMPLED, None));
}

#[test]
fn flags_other_than_sampled_and_random_are_cleared() {
    for (flags, kept) in [
        ("00", 0),
        ("01", 1),
        ("02", 2),
        ("03", 3),
        ("fc", 0),
        ("ff", 3),
        ("09", 1),
    ] {
        for version in ["00", "01", "fe"] {
            let header = format!("{version}{}{flags}", &HEADER[2..53]);
            assert_eq!(context_of(&header).unwrap().flags.to_u8(), kept, "{header}");
        }
    }
}

#[test]
fn upper_case_is_refused_in_every_field() {
    for header in [
        HEADER.to_uppercase(),
        HEADER.replace("0af7", "0AF7"),
        HEADER.replace("b7ad", "B7AD"),
        HEADER.replace("-01", "-0A"),
        HEADER.replacen("00", "0A", 1),
    ] {
        assert_eq!(context_of(&header), None, "{header}");
    }
}

#[test]
fn any_one_character_off_is_refused() {
    for position in 0..HEADER.len() {
        let mut header = HEADER.as_bytes().to_vec();
        for byte in [b'g', b'A', b' ', b'_', 0, 0xff] {
            header[position] = byte;
            assert_eq!(
                extract([header.as_slice()].into_iter(), [].into_iter()),
                None,
                "{byte} at {position}"
            );
        }
    }
}

#[test]
fn a_later_version_needs_all_fields_and_a_dash_before_more() {
    let later = |more: &str| format!("01{}{more}", &HEADER[2..]);

    for more in ["", "-", "-x", "-\u{7f}\u{e9}"] {
        assert!(context_of(&later(more)).is_some(), "{more:?}");
    }
    for more in ["0", ".", ",", "_-"] {
        assert_eq!(context_of(&later(more)), None, "{more:?}");
    }
    assert_eq!(context_of(&later("")[..54]), None);
}

#[test]
fn a_broken_state_leaves_the_traceparent_alone() {
    let states = [b"foo=1".as_slice(), b"\xff\xfe"];

    let context = extract([HEADER.as_bytes()].into_iter(), states.into_iter()).unwrap();

    assert_eq!(context, context_of(HEADER).unwrap());
}

#[test]
fn state_values_keep_leading_and_inner_spaces() {
    assert_eq!(
        state_of(&["foo=  a b  ,bar=1"]),
        Some("foo=  a b,bar=1".to_owned())
    );
}

#[test]
fn state_members_outside_the_grammar_spoil_the_list() {
    let (long_key, long_value) = (format!("{}=1", "k".repeat(257)), format!("k={}", "v".repeat(257)));
    for member in [
        "foo",
        "=1",
        "foo=",
        "_a=1",
        "fo\u{e9}=1",
        "foo=\u{e9}",
        "foo=a\tb",
        "foo=a\u{7f}",
        &long_key,
        &long_value,
    ] {
        assert_eq!(state_of(&["bar=1", member]), None, "{member}");
    }
    assert_eq!(
        state_of(&["1a=1", &format!("k={}", "v".repeat(256))])
            .unwrap()
            .len(),
        263
    );
}

#[test]
fn empty_state_members_are_skipped_and_do_not_count() {
    let members: Vec<String> = (0..32).map(|number| format!("k{number}=1")).collect();
    let spread = members.join(", ,\t,,");

    assert_eq!(state_of(&["", " ", &spread, ",,,"]), Some(members.join(",")));
    assert_eq!(state_of(&["", ",", " \t"]), None);
    assert_eq!(state_of(&[&",".repeat(100_000)]), None);
}

#[test]
fn an_over_long_state_loses_long_members_first_and_then_the_last() {
    let short: Vec<String> = (0..8)
        .map(|number| format!("s{number}={}", "v".repeat(100)))
        .collect();
    let long: Vec<String> = (0..24)
        .map(|number| format!("{number}{}={}", "l".repeat(240), "v".repeat(256)))
        .collect();
    let all: Vec<&str> = long.iter().chain(&short).map(String::as_str).collect();

    let state = TraceState::parse(all.iter().map(|member| member.as_bytes())).unwrap();

    let kept: Vec<&str> = state.as_str().split(',').collect();
    assert!(
        state.as_str().len() <= MAX_TRACESTATE_BYTES && state.as_str().len() > MAX_TRACESTATE_BYTES - 600
    );
    assert_eq!(kept[kept.len() - 8..], all[24..]);
    assert_eq!(kept[..kept.len() - 8], all[..kept.len() - 8]);
}

#[test]
fn a_state_is_read_by_key() {
    let state =
        TraceState::parse([b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE".as_slice()].into_iter()).unwrap();

    assert_eq!(
        (state.get("congo"), state.get("cong")),
        (Some("t61rcWkgMzE"), None)
    );
    assert_eq!(
        state.iter().collect::<Vec<_>>(),
        [("rojo", "00f067aa0ba902b7"), ("congo", "t61rcWkgMzE")]
    );
}

#[test]
fn the_random_flag_is_set_for_our_ids_and_passed_on_otherwise() {
    let root = TraceContext::root(TraceId::from(1), SpanId::from(2), true);
    let below_random = root.child(SpanId::from(3), false);
    let below_plain = context_of(HEADER).unwrap().child(SpanId::from(3), false);

    assert_eq!(root.flags.to_u8(), 0b11);
    assert_eq!(
        &below_random.traceparent(),
        b"00-00000000000000000000000000000001-0000000000000003-02"
    );
    assert_eq!(below_random.flags, RANDOM_FLAG);
    assert_eq!(below_plain.flags, TraceFlags::NOT_SAMPLED);
}

#[test]
fn unknown_flags_and_zero_ids_are_never_sent() {
    let mut context = context_of(HEADER).unwrap();
    context.flags = TraceFlags::new(0xff);
    assert!(context.traceparent().ends_with(b"-03"));

    context.span_id = SpanId::INVALID;
    inject(&context, &mut |name, value| panic!("{name}: {value}"));
}

/// Header lines in order, like a real request's.
struct Lines(&'static [(&'static str, &'static str)]);

impl Extractor for Lines {
    fn get(&self, key: &str) -> Option<&str> {
        self.get_all(key)?.first().copied()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }

    fn get_all(&self, key: &str) -> Option<Vec<&str>> {
        let named = self.0.iter().filter(|(name, _)| *name == key);
        Some(named.map(|(_, value)| *value).collect::<Vec<_>>()).filter(|values| !values.is_empty())
    }
}

fn pass_through(lines: &'static [(&'static str, &'static str)]) -> HashMap<String, String> {
    let propagator = StrictTraceContextPropagator;
    let mut sent = HashMap::new();
    propagator.inject_context(
        &propagator.extract_with_context(&Context::new(), &Lines(lines)),
        &mut sent,
    );
    sent
}

#[test]
fn the_propagator_passes_on_what_it_reads() {
    let sent = pass_through(&[
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
        ),
        ("tracestate", "rojo=1"),
        ("tracestate", " congo=2"),
    ]);

    assert_eq!(
        sent["traceparent"],
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"
    );
    assert_eq!(sent["tracestate"], "rojo=1,congo=2");
}

#[test]
fn the_propagator_ignores_what_the_reader_ignores() {
    let twice = &[
        ("traceparent", HEADER),
        ("traceparent", HEADER),
        ("tracestate", "rojo=1"),
    ];
    let short = &[(
        "traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
    )];

    assert_eq!(pass_through(twice), HashMap::new());
    assert_eq!(pass_through(short), HashMap::new());
    assert_eq!(
        pass_through(&[("traceparent", HEADER), ("tracestate", "")]).len(),
        1
    );
}

#[test]
fn the_propagator_marks_the_parent_as_remote() {
    let context = StrictTraceContextPropagator
        .extract_with_context(&Context::new(), &Lines(&[("traceparent", HEADER)]));

    assert!(context.span().span_context().is_remote());
    assert!(context.span().span_context().is_sampled());
}

#[test]
fn a_state_the_api_cannot_hold_is_passed_on_within_its_trace_only() {
    let propagator = StrictTraceContextPropagator;
    let first = propagator.extract_with_context(
        &Context::new(),
        &Lines(&[("traceparent", HEADER), ("tracestate", "foo@@bar=1")]),
    );
    let again_without = propagator.extract_with_context(&first, &Lines(&[("traceparent", HEADER)]));
    let other_trace = first.with_remote_span_context(SpanContext::new(
        TraceId::from(1),
        SpanId::from(1),
        TraceFlags::SAMPLED,
        false,
        Default::default(),
    ));

    let sent = [first, again_without, other_trace].map(|context| {
        let mut sent = HashMap::new();
        propagator.inject_context(&context, &mut sent);
        sent.remove("tracestate")
    });

    assert_eq!(sent, [Some("foo@@bar=1".to_owned()), None, None]);
}

#[test]
fn the_propagator_names_its_headers() {
    assert_eq!(
        StrictTraceContextPropagator.fields().collect::<Vec<_>>(),
        ["traceparent", "tracestate"]
    );
}
