//! Health, probes, reload, the test of itself, and the handles of a second worker.

use gatewayz_inference::{
    CacheStatus, Catalog, FAMILIES, Gateway, GatewaySettings, LoadError, SELF_TEST, Status,
};
use gatewayz_metrics::{Registry, RegistrySettings};
use gatewayz_testkit::provider::{FaultyProvider, Script};

use crate::harness::{Harness, KEY, catalog, completion, request};

#[tokio::test]
async fn a_probe_is_free_and_tells_whether_a_provider_is_there() {
    let provider = FaultyProvider::always(Script::json(200, r#"{"data":[]}"#));
    let harness = Harness::over(&provider);
    let availability = || harness.metric(r#"provider_availability{provider="p0"}"#);
    assert_eq!(availability(), Some(1.0), "nothing speaks against it yet");

    for (script, expected) in [
        (Script::json(200, "{}"), true),
        (Script::json(503, "{}"), false),
        (Script::json(404, "{}"), true),
        (Script::json(401, "{}"), false),
        (Script::json(429, "{}"), true),
    ] {
        provider.next(script.clone());
        harness.gateway.probe_once().await;

        let health = harness.gateway.health().remove(0);
        assert_eq!(
            (health.is_available, health.last_probe),
            (expected, Some(expected)),
            "{script:?}"
        );
        assert_eq!(availability(), Some(f64::from(u8::from(expected))));
    }
    let probes = provider.requests();
    assert!(probes.iter().all(|probe| probe.target == "GET /v1/models"));
    assert_eq!(
        probes[0].header("authorization"),
        Some(format!("Bearer {KEY}").as_str())
    );
    assert!(harness.outcomes().is_empty());
}

#[tokio::test]
async fn a_provider_that_shall_not_be_probed_is_not() {
    let provider = FaultyProvider::start();
    let catalog = crate::harness::catalog_of(&[provider.base_url()], "probe = false", "");

    Harness::new(&catalog).gateway.probe_once().await;

    assert!(provider.requests().is_empty());
}

#[tokio::test]
async fn the_error_rate_is_the_share_of_attempts() {
    let provider = FaultyProvider::always(Script::json(200, &completion(1, 0, 1)));
    let harness = Harness::over(&provider);
    for script in [
        Script::json(500, "{}"),
        Script::json(400, "{}"),
        Script::json(429, "{}"),
    ] {
        provider.next(script);
    }

    harness.read(&request()).await; // 500, then 400, which says nothing
    harness.read(&request()).await; // 429, which says nothing either, then an answer

    assert_eq!(harness.metric(r#"provider_error_rate{provider="p0"}"#), Some(0.5));
    assert_eq!(harness.gateway.health()[0].error_rate, 0.5);
}

#[tokio::test]
async fn a_reload_keeps_what_is_known_and_calls_under_way() {
    let (bad, good) = (
        FaultyProvider::always(Script::json(500, "{}")),
        FaultyProvider::always(Script::json(200, &completion(1, 0, 1))),
    );
    let harness = Harness::new(&catalog(&[&bad], ""));
    for _ in 0..2 {
        harness.read(&request()).await;
    }
    assert_eq!(harness.gateway.health()[0].open_breakers.len(), 1);

    harness.gateway.reload(&catalog(&[&bad, &good], "")).unwrap();
    let answer = harness.read(&request()).await;

    assert_eq!(answer.status, 200);
    assert_eq!(bad.requests().len(), 5, "its breaker is still open");
    assert_eq!(
        harness.metric(r#"provider_breaker_open{provider="p0",model="m"}"#),
        Some(1.0)
    );
    assert_eq!(
        harness.metric(r#"provider_breaker_open{provider="p1",model="m"}"#),
        Some(0.0)
    );
}

#[tokio::test]
async fn the_test_of_itself_feeds_every_family_of_a_call_and_cannot_be_called_by_clients() {
    let harness = Harness::new(&Catalog::echo());

    for _ in 0..2 {
        let outcomes = harness.gateway.self_test(None).await.unwrap();
        let caches: Vec<_> = outcomes.iter().map(|outcome| outcome.cache).collect();
        assert_eq!(caches, [CacheStatus::Miss, CacheStatus::Hit]);
        assert!(
            outcomes
                .iter()
                .all(|outcome| &*outcome.provider == SELF_TEST && outcome.status == Status::Success)
        );
    }

    for series in [
        r#"model_inference_requests_total{provider="selftest",model="selftest",status="success"} 4"#,
        r#"model_inference_duration_seconds_count{provider="selftest",model="selftest"} 4"#,
        r#"tokens_used_total{provider="selftest",model="selftest",token_type="input"} 6"#,
        r#"provider_response_time_seconds_count{provider="selftest"} 2"#,
        r#"provider_availability{provider="selftest"} 1"#,
        r#"cache_hits_total{cache_name="selftest"} 2"#,
        r#"cache_misses_total{cache_name="selftest"} 2"#,
    ] {
        assert!(harness.page().contains(series), "{series}\n{}", harness.page());
    }
    let mut body = request();
    body["model"] = SELF_TEST.into();
    harness
        .read(&body)
        .await
        .expect_error(404, "invalid_request_error", Some("model_not_found"));
    assert!(
        !String::from_utf8_lossy(
            &crate::harness::read(harness.gateway.models())
                .await
                .text
                .into_bytes()
        )
        .contains(SELF_TEST)
    );
}

#[tokio::test]
async fn a_second_worker_has_connections_of_its_own_and_shares_the_rest() {
    let provider = FaultyProvider::always(Script::json(200, &completion(1, 0, 1)));
    let mut harness = Harness::over(&provider);
    harness.read(&request()).await;

    harness.gateway = harness.gateway.with_own_connections().unwrap();
    for _ in 0..3 {
        harness.read(&request()).await;
    }

    assert_eq!(
        provider.wait_for("the connections", |seen| Some(seen.connections)),
        2
    );
    let calls = r#"model_inference_requests_total{provider="p0",model="m",status="success"}"#;
    assert_eq!(harness.metric(calls), Some(4.0));
}

/// A catalog of `models` models at `providers` providers each.
fn large_catalog(models: usize, providers: usize) -> Catalog {
    let mut text = String::new();
    for provider in 0..providers {
        text += &format!("[[providers]]\nname = \"p{provider}\"\nkind = \"echo\"\n");
    }
    for model in 0..models {
        let candidate = |provider| format!("{{ provider = \"p{provider}\", model = \"u\" }}");
        let candidates: Vec<_> = (0..providers).map(candidate).collect();
        text += &format!(
            "[[models]]\nid = \"m{model}\"\ncandidates = [{}]\n",
            candidates.join(",")
        );
    }
    Catalog::parse(&text, |_| None).unwrap()
}

fn gateway(catalog: &Catalog, series_limit: usize) -> Result<Gateway, LoadError> {
    let settings = RegistrySettings {
        series_limit,
        ..RegistrySettings::default()
    };
    let registry = Registry::new(&[FAMILIES], settings).unwrap();
    Gateway::new(catalog, &registry, GatewaySettings::default())
}

#[tokio::test]
async fn the_largest_catalog_has_all_its_series() {
    assert!(gateway(&large_catalog(500, 10), 1_000_000).is_ok());
}

#[tokio::test]
async fn a_catalog_whose_series_do_not_fit_is_refused_and_the_old_one_stays() {
    let refused = gateway(&large_catalog(2, 1), 10).unwrap_err();
    assert!(matches!(refused, LoadError::SeriesLimit { .. }), "{refused}");

    let gateway = gateway(&large_catalog(2, 1), 40).unwrap();
    let refused = gateway.reload(&large_catalog(30, 1)).unwrap_err();

    assert!(matches!(refused, LoadError::SeriesLimit { .. }), "{refused}");
    assert!(gateway.model("m1").is_ok());
    assert!(gateway.model("m2").is_err());
}
