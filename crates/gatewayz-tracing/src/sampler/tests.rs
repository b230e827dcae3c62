//! Decisions compared with opentelemetry_sdk's, settings, and the limit under a clock of our own.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceState};
use opentelemetry_sdk::trace::{Sampler as SdkSampler, SamplingDecision, ShouldSample};

use super::*;
use crate::id::{new_span_id, new_trace_id};

fn parent(flags: TraceFlags) -> TraceContext {
    TraceContext {
        trace_id: new_trace_id(),
        span_id: new_span_id(),
        flags,
        state: None,
    }
}

fn sdk_samples(sampler: &SdkSampler, parent: Option<&TraceContext>, trace_id: TraceId) -> bool {
    let context = parent.map(|parent| {
        let (span_id, flags) = (SpanId::from(1), parent.flags);
        Context::new().with_remote_span_context(SpanContext::new(
            trace_id,
            span_id,
            flags,
            true,
            TraceState::NONE,
        ))
    });
    let result = sampler.should_sample(context.as_ref(), trace_id, "GET /", &SpanKind::Server, &[], &[]);
    result.decision == SamplingDecision::RecordAndSample
}

#[test]
fn the_ratio_decides_like_opentelemetry_sdk_for_every_id() {
    for share in [
        0.0,
        1e-19,
        1e-9,
        0.001,
        0.1,
        0.25,
        1.0 / 3.0,
        0.5,
        0.75,
        0.999_999_999,
        1.0,
    ] {
        let ours = Sampler::Root(RootRule::TraceIdRatio(SampleRatio::try_from(share).unwrap()));
        let theirs = SdkSampler::TraceIdRatioBased(share);
        let bound = (share * (1_u64 << 63) as f64) as u64;
        let around_the_bound =
            (0..8_u64).map(|step| TraceId::from(u128::from((bound << 1).wrapping_add(step).wrapping_sub(4))));
        let extremes = [
            TraceId::from(1),
            TraceId::from(u128::MAX),
            TraceId::from(u128::from(u64::MAX)),
        ];

        for id in (0..5_000)
            .map(|_| new_trace_id())
            .chain(around_the_bound)
            .chain(extremes)
        {
            assert_eq!(
                ours.sample(None, id),
                sdk_samples(&theirs, None, id),
                "share {share}, id {id}"
            );
        }
    }
}

#[test]
fn every_named_sampler_decides_like_opentelemetry_sdk() {
    let ratio = SdkSampler::TraceIdRatioBased(0.5);
    let cases = [
        ("always_on", SdkSampler::AlwaysOn),
        ("always_off", SdkSampler::AlwaysOff),
        ("traceidratio", ratio.clone()),
        (
            "parentbased_always_on",
            SdkSampler::ParentBased(Box::new(SdkSampler::AlwaysOn)),
        ),
        (
            "parentbased_always_off",
            SdkSampler::ParentBased(Box::new(SdkSampler::AlwaysOff)),
        ),
        (
            "parentbased_traceidratio",
            SdkSampler::ParentBased(Box::new(ratio)),
        ),
    ];
    let parents = [
        None,
        Some(parent(TraceFlags::NOT_SAMPLED)),
        Some(parent(TraceFlags::SAMPLED)),
    ];

    for (name, theirs) in cases {
        let ours = Sampler::parse(Some(name), Some("0.5")).unwrap();
        assert_eq!(ours.name(), name);
        for parent in &parents {
            for id in (0..500).map(|_| new_trace_id()) {
                let (ours, theirs) = (
                    ours.sample(parent.as_ref(), id),
                    sdk_samples(&theirs, parent.as_ref(), id),
                );
                assert_eq!(ours, theirs, "{name}, {parent:?}, {id}");
            }
        }
    }
}

#[test]
fn settings_left_out_mean_the_specifications_defaults() {
    assert_eq!(
        Sampler::parse(None, Some("0.5")),
        Ok(Sampler::ParentBased(RootRule::AlwaysOn))
    );
    assert_eq!(
        Sampler::parse(Some("traceidratio"), None),
        Ok(Sampler::Root(RootRule::TraceIdRatio(SampleRatio::ALL)))
    );
    assert_eq!(
        Sampler::parse(Some(" Always_On "), Some("ignored")),
        Ok(Sampler::Root(RootRule::AlwaysOn))
    );
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let ratio = |text| Sampler::parse(Some("parentbased_traceidratio"), Some(text));

    assert_eq!(
        Sampler::parse(Some("sometimes"), None),
        Err(SamplerError::UnknownName)
    );
    assert_eq!(Sampler::parse(Some(""), None), Err(SamplerError::UnknownName));
    assert!(matches!(ratio("half"), Err(SamplerError::NotANumber(_))));
    for text in ["-0.1", "1.0001", "NaN", "inf", "-inf"] {
        assert_eq!(ratio(text), Err(SamplerError::RatioOutOfRange), "{text}");
    }
}

#[test]
fn a_ratio_reports_the_share_it_was_given() {
    for share in [0.0, 0.1, 0.5, 1.0] {
        assert_eq!(SampleRatio::try_from(share).unwrap().share(), share);
    }
}

#[test]
fn callers_cannot_force_more_traces_than_the_limit() {
    let start = Moment::now();
    let limit = IncomingLimit::new(1_000, start);
    let (sampler, caller) = (Sampler::default(), parent(TraceFlags::SAMPLED));
    let ask = |now| sampler.sample_limited(Some(&caller), caller.trace_id, &limit, now);

    let at_once = (0..10_000).filter(|_| ask(start)).count();
    let after_half_a_second = (0..10_000)
        .filter(|_| ask(start + Duration::from_millis(500)))
        .count();
    let after_a_long_pause = (0..10_000)
        .filter(|_| ask(start + Duration::from_secs(3_600)))
        .count();

    assert_eq!(
        (at_once, after_half_a_second, after_a_long_pause),
        (1_000, 500, 1_000)
    );
    assert_eq!(limit.limited_total(), 27_500);
}

#[test]
fn a_steady_rate_within_the_limit_is_never_limited() {
    for per_second in [1, 3, 7, 1_000] {
        let start = Moment::now();
        let limit = IncomingLimit::new(per_second, start);
        let step = Duration::from_secs(1) / per_second + Duration::from_nanos(1);

        let admitted = (0..5_000)
            .filter(|trace| limit.admit(start + step * *trace))
            .count();

        assert_eq!(
            (admitted, limit.limited_total()),
            (5_000, 0),
            "{per_second} a second"
        );
    }
}

#[test]
fn traces_that_the_rule_decides_take_nothing_from_the_limit() {
    let start = Moment::now();
    let limit = IncomingLimit::new(0, start);
    let (sampled, unsampled) = (parent(TraceFlags::SAMPLED), parent(TraceFlags::NOT_SAMPLED));
    let id = new_trace_id();

    assert!(Sampler::default().sample_limited(None, id, &limit, start));
    assert!(Sampler::Root(RootRule::AlwaysOn).sample_limited(Some(&sampled), id, &limit, start));
    assert!(!Sampler::default().sample_limited(Some(&unsampled), id, &limit, start));
    assert_eq!(limit.limited_total(), 0);
}

#[test]
fn a_limit_of_zero_lets_nothing_pass() {
    let start = Moment::now();
    let limit = IncomingLimit::new(0, start);

    assert!(!limit.admit(start));
    assert!(!limit.admit(start + Duration::from_secs(1_000_000)));
    assert_eq!(limit.limited_total(), 2);
}

#[test]
fn a_clock_read_out_of_order_neither_fails_nor_refills() {
    let origin = Moment::now();
    let later = origin + Duration::from_secs(5);
    let limit = IncomingLimit::new(2, later);

    let admitted = [later, origin, later, origin].map(|now| limit.admit(now));

    assert_eq!(admitted, [true, true, false, false]);
}

#[test]
fn threads_together_stay_within_the_limit() {
    let start = Moment::now();
    let limit = IncomingLimit::new(1_000, start);

    let admitted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..5_000).filter(|_| limit.admit(start)).count()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });

    assert_eq!((admitted, limit.limited_total()), (1_000, 19_000));
}
