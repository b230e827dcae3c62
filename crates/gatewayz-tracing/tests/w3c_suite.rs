//! The 41 cases of the W3C trace-context test suite (strict level 2, specification level 2), by name,
//! against a service in miniature that continues or starts a trace and makes calls.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;

use gatewayz_tracing::id::{new_span_id, new_trace_id};
use gatewayz_tracing::w3c::{RANDOM_FLAG, TraceContext, extract, inject};
use opentelemetry::trace::{SpanId, TraceId};

const TRACE: &str = "12345678901234567890123456789012";
const PARENT: &str = "1234567890123456";
const SAMPLED: &str = "00-12345678901234567890123456789012-1234567890123456-01";
const UNSAMPLED: &str = "00-12345678901234567890123456789012-1234567890123456-00";

type Headers = Vec<(String, String)>;

/// What the calls made while serving a request must look like.
#[derive(Clone, Copy, PartialEq)]
enum Trace {
    Continued,
    Restarted,
}

struct Case {
    name: &'static str,
    incoming: Headers,
    calls: usize,
    trace: Trace,
    state: Option<String>,
}

#[test]
fn every_case_of_the_suite_holds() {
    let cases: Vec<Case> = [
        traceparent_cases(),
        tracestate_cases(),
        tracestate_limit_cases(),
        advanced_cases(),
    ]
    .into_iter()
    .flatten()
    .collect();

    for case in &cases {
        check(case);
    }

    assert_eq!(
        cases.iter().map(|case| case.name).collect::<HashSet<_>>().len(),
        41
    );
}

fn check(case: &Case) {
    let Case { name, incoming, .. } = case;
    let sent: Vec<Headers> = serve(incoming, case.calls);

    let random = case.trace == Trace::Restarted || *name == "test_propagates_random_flag";
    let mut span_ids = HashSet::new();
    for headers in &sent {
        let context = read(headers).unwrap();
        let state = headers
            .iter()
            .find(|(header, _)| header == "tracestate")
            .map(|(_, value)| value.clone());
        let continued = context.trace_id == TraceId::from_hex(TRACE).unwrap();
        assert_eq!(
            continued,
            case.trace == Trace::Continued,
            "{name}: {incoming:?} became {headers:?}"
        );
        assert_ne!(context.span_id, SpanId::from_hex(PARENT).unwrap(), "{name}");
        assert_eq!(
            context.flags & RANDOM_FLAG == RANDOM_FLAG,
            random,
            "{name}: {headers:?}"
        );
        assert_eq!(state, case.state, "{name}: {incoming:?}");
        span_ids.insert(context.span_id);
    }
    assert_eq!(span_ids.len(), case.calls, "{name}: span ids repeat");
}

/// One request in, `calls` calls out, each with a span of its own.
fn serve(incoming: &Headers, calls: usize) -> Vec<Headers> {
    let parent = read(incoming);
    let server = match &parent {
        Some(parent) => parent.child(new_span_id(), parent.flags.is_sampled()),
        None => TraceContext::root(new_trace_id(), new_span_id(), true),
    };
    let call = |_| {
        let mut headers = Headers::new();
        inject(&server.child(new_span_id(), true), &mut |name, value| {
            headers.push((name.to_owned(), value.to_owned()));
        });
        headers
    };
    (0..calls).map(call).collect()
}

fn read(headers: &Headers) -> Option<TraceContext> {
    let named = |name: &'static str| {
        headers
            .iter()
            .filter(move |(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_bytes())
    };
    extract(named("traceparent"), named("tracestate"))
}

fn case(name: &'static str, incoming: &[(&str, &str)], trace: Trace, state: Option<&str>) -> Case {
    let incoming = incoming
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Case {
        name,
        incoming,
        calls: 1,
        trace,
        state: state.map(str::to_owned),
    }
}

fn traceparent_cases() -> Vec<Case> {
    use Trace::{Continued, Restarted};
    let other = "00-12345678901234567890123456789011-1234567890123456-01";
    let one = [
        ("test_traceparent_included_tracestate_missing", SAMPLED, Continued),
        ("test_traceparent_version_0x00", &format!("{SAMPLED}."), Restarted),
        (
            "test_traceparent_version_0x00",
            &format!("{SAMPLED}-what-the-future-will-be-like"),
            Restarted,
        ),
        ("test_traceparent_version_0xcc", &versioned("cc", ""), Continued),
        (
            "test_traceparent_version_0xcc",
            &versioned("cc", "-what-the-future-will-be-like"),
            Continued,
        ),
        (
            "test_traceparent_version_0xcc",
            &versioned("cc", ".what-the-future-will-be-like"),
            Restarted,
        ),
        ("test_traceparent_version_0xff", &versioned("ff", ""), Restarted),
        (
            "test_traceparent_version_illegal_characters",
            &versioned(".0", ""),
            Restarted,
        ),
        (
            "test_traceparent_version_illegal_characters",
            &versioned("0.", ""),
            Restarted,
        ),
        (
            "test_traceparent_version_too_long",
            &versioned("000", ""),
            Restarted,
        ),
        (
            "test_traceparent_version_too_long",
            &versioned("0000", ""),
            Restarted,
        ),
        (
            "test_traceparent_version_too_short",
            &versioned("0", ""),
            Restarted,
        ),
        (
            "test_traceparent_trace_id_all_zero",
            &ids(&"0".repeat(32), PARENT),
            Restarted,
        ),
        (
            "test_traceparent_trace_id_illegal_characters",
            &ids(".2345678901234567890123456789012", PARENT),
            Restarted,
        ),
        (
            "test_traceparent_trace_id_illegal_characters",
            &ids("1234567890123456789012345678901.", PARENT),
            Restarted,
        ),
        (
            "test_traceparent_trace_id_too_long",
            &ids("123456789012345678901234567890123", PARENT),
            Restarted,
        ),
        (
            "test_traceparent_trace_id_too_short",
            &ids("1234567890123456789012345678901", PARENT),
            Restarted,
        ),
        (
            "test_traceparent_parent_id_all_zero",
            &ids(TRACE, "0000000000000000"),
            Restarted,
        ),
        (
            "test_traceparent_parent_id_illegal_characters",
            &ids(TRACE, ".234567890123456"),
            Restarted,
        ),
        (
            "test_traceparent_parent_id_illegal_characters",
            &ids(TRACE, "123456789012345."),
            Restarted,
        ),
        (
            "test_traceparent_parent_id_too_long",
            &ids(TRACE, "12345678901234567"),
            Restarted,
        ),
        (
            "test_traceparent_parent_id_too_short",
            &ids(TRACE, "123456789012345"),
            Restarted,
        ),
        (
            "test_traceparent_trace_flags_illegal_characters",
            &flagged(".0"),
            Restarted,
        ),
        (
            "test_traceparent_trace_flags_illegal_characters",
            &flagged("0."),
            Restarted,
        ),
        (
            "test_traceparent_trace_flags_too_long",
            &flagged("001"),
            Restarted,
        ),
        ("test_traceparent_trace_flags_too_short", &flagged("1"), Restarted),
        ("test_traceparent_ows_handling", &format!(" {SAMPLED}"), Continued),
        (
            "test_traceparent_ows_handling",
            &format!("\t{SAMPLED}"),
            Continued,
        ),
        ("test_traceparent_ows_handling", &format!("{SAMPLED} "), Continued),
        (
            "test_traceparent_ows_handling",
            &format!("{SAMPLED}\t"),
            Continued,
        ),
        (
            "test_traceparent_ows_handling",
            &format!("\t {SAMPLED} \t"),
            Continued,
        ),
        ("test_propagates_random_flag", &flagged("02"), Continued),
    ];
    let mut cases: Vec<_> = one
        .iter()
        .map(|(name, value, trace)| case(name, &[("traceparent", value)], *trace, None))
        .collect();
    cases.push(case(
        "test_both_traceparent_and_tracestate_missing",
        &[],
        Restarted,
        None,
    ));
    let twice = [("traceparent", other), ("traceparent", SAMPLED)];
    cases.push(case("test_traceparent_duplicated", &twice, Restarted, None));
    for name in ["trace-parent", "trace.parent"] {
        cases.push(case(
            "test_traceparent_header_name",
            &[(name, SAMPLED)],
            Restarted,
            None,
        ));
    }
    for name in ["TraceParent", "TrAcEpArEnT", "TRACEPARENT"] {
        cases.push(case(
            "test_traceparent_header_name_valid_casing",
            &[(name, SAMPLED)],
            Continued,
            None,
        ));
    }
    cases
}

fn tracestate_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for state in ["foo=1", "foo=1,bar=2"] {
        let name = "test_tracestate_included_traceparent_missing";
        cases.push(case(name, &[("tracestate", state)], Trace::Restarted, None));
    }
    for (name, header, state) in [
        ("test_tracestate_header_name", "trace-state", None),
        ("test_tracestate_header_name", "trace.state", None),
        (
            "test_tracestate_header_name_valid_casing",
            "TraceState",
            Some("foo=1"),
        ),
        (
            "test_tracestate_header_name_valid_casing",
            "TrAcEsTaTe",
            Some("foo=1"),
        ),
        (
            "test_tracestate_header_name_valid_casing",
            "TRACESTATE",
            Some("foo=1"),
        ),
    ] {
        cases.push(case(
            name,
            &[("traceparent", UNSAMPLED), (header, "foo=1")],
            Trace::Continued,
            state,
        ));
    }
    let value: String = (' '..='~').filter(|char| !matches!(char, ',' | '=')).collect();
    let key = "abcdefghijklmnopqrstuvwxyz0123456789_-*/";
    let (plain, at_sign) = (format!("{key}={value}"), format!("{key}@a-z0-9_-*/={value}"));
    let three = Some("foo=1,bar=2,baz=3");
    cases.extend([
        stated(
            "test_tracestate_included_traceparent_included",
            &["foo=1,bar=2"],
            Some("foo=1,bar=2"),
        ),
        stated("test_tracestate_empty_header", &[""], None),
        stated("test_tracestate_empty_header", &["foo=1", ""], Some("foo=1")),
        stated("test_tracestate_empty_header", &["", "foo=1"], Some("foo=1")),
        stated(
            "test_tracestate_multiple_headers_different_keys",
            &["foo=1,bar=2", "rojo=1,congo=2", "baz=3"],
            Some("foo=1,bar=2,rojo=1,congo=2,baz=3"),
        ),
        stated("test_tracestate_duplicated_keys", &["foo=1,foo=1"], Some("foo=1")),
        stated("test_tracestate_duplicated_keys", &["foo=1,foo=2"], Some("foo=1")),
        stated(
            "test_tracestate_duplicated_keys",
            &["foo=1", "foo=1"],
            Some("foo=1"),
        ),
        stated(
            "test_tracestate_duplicated_keys",
            &["foo=1", "foo=2"],
            Some("foo=1"),
        ),
        stated("test_tracestate_all_allowed_characters", &[&plain], Some(&plain)),
        stated(
            "test_tracestate_all_allowed_characters",
            &[&at_sign],
            Some(&at_sign),
        ),
        stated(
            "test_tracestate_ows_handling",
            &["foo=1 \t , \t bar=2, \t baz=3"],
            three,
        ),
        stated(
            "test_tracestate_ows_handling",
            &["foo=1\t \t,\t \tbar=2,\t \tbaz=3"],
            three,
        ),
        stated("test_tracestate_key_illegal_characters", &["foo =1"], None),
        stated("test_tracestate_key_illegal_characters", &["FOO=1"], None),
        stated("test_tracestate_key_illegal_characters", &["foo.bar=1"], None),
        stated("test_tracestate_value_illegal_characters", &["foo=bar=baz"], None),
        stated("test_tracestate_value_illegal_characters", &["foo=,bar=3"], None),
    ]);
    for state in [" foo=1", "\tfoo=1", "foo=1 ", "foo=1\t", "\t foo=1 \t"] {
        cases.push(stated("test_tracestate_ows_handling", &[state], Some("foo=1")));
    }
    cases
}

/// Level 2 lifted level 1's rules on the at sign, which older editions of the suite still check.
fn tracestate_limit_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (state, kept) in [
        ("foo@=1,bar=2", true),
        ("@foo=1,bar=2", false),
        ("foo@@bar=1,bar=2", true),
        ("foo@bar@baz=1,bar=2", true),
    ] {
        cases.push(stated(
            "test_tracestate_key_illegal_vendor_format",
            &[state],
            kept.then_some(state),
        ));
    }
    let members = |numbers: std::ops::RangeInclusive<usize>| {
        numbers
            .map(|number| format!("bar{number:02}={number:02}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    let (first, rest, too_many) = (members(1..=20), members(21..=32), members(21..=33));
    let whole = members(1..=32);
    cases.push(stated(
        "test_tracestate_member_count_limit",
        &[&first, &rest],
        Some(&whole),
    ));
    cases.push(stated(
        "test_tracestate_member_count_limit",
        &[&first, &too_many],
        None,
    ));
    for (key, kept) in [
        ("z".repeat(256), true),
        ("z".repeat(257), false),
        (format!("{}@{}", "t".repeat(241), "v".repeat(14)), true),
        (format!("{}@v", "t".repeat(242)), true),
        (format!("t@{}", "v".repeat(15)), true),
    ] {
        let state = format!("foo=1,{key}=1");
        let kept = kept.then_some(state.as_str());
        cases.push(stated(
            "test_tracestate_key_length_limit",
            &["foo=1", &format!("{key}=1")],
            kept,
        ));
    }
    cases
}

fn advanced_cases() -> Vec<Case> {
    use Trace::{Continued, Restarted};
    let illegal = ids(&"0".repeat(32), PARENT);
    let cases = [
        case(
            "test_multiple_requests_with_valid_traceparent",
            &[("traceparent", SAMPLED)],
            Continued,
            None,
        ),
        case("test_multiple_requests_without_traceparent", &[], Restarted, None),
        case(
            "test_multiple_requests_with_illegal_traceparent",
            &[("traceparent", &illegal)],
            Restarted,
            None,
        ),
    ];
    cases.map(|case| Case { calls: 3, ..case }).into()
}

fn stated(name: &'static str, states: &[&str], kept: Option<&str>) -> Case {
    let mut incoming = vec![("traceparent", UNSAMPLED)];
    incoming.extend(states.iter().map(|state| ("tracestate", *state)));
    case(name, &incoming, Trace::Continued, kept)
}

fn versioned(version: &str, more: &str) -> String {
    format!("{version}-{TRACE}-{PARENT}-01{more}")
}

fn ids(trace_id: &str, parent_id: &str) -> String {
    format!("00-{trace_id}-{parent_id}-01")
}

fn flagged(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}
