//! One test for each row of the contract with the official SDKs: what goes in, what comes out, what is counted.

use std::net::TcpListener;
use std::time::Duration;

use gatewayz_inference::{Catalog, GatewaySettings, Status, UsageSource};
use gatewayz_testkit::provider::{FaultyProvider, Script, Step};
use serde_json::json;

use crate::harness::{Harness, KEY, Read, catalog, catalog_of, completion, read, request, streamed};

/// Calls once, expects one outcome with this status, counted under it.
async fn call(harness: &Harness, status: Status) -> Read {
    let answer = harness.read(&request()).await;
    let outcome = harness.outcome();
    assert_eq!(outcome.status, status, "{outcome:?}");
    let series = |status: Status| {
        let provider = &outcome.provider;
        harness.metric(&format!(
            "model_inference_requests_total{{provider=\"{provider}\",model=\"m\",status=\"{}\"}}",
            status.as_str()
        ))
    };
    for known in Status::ALL {
        assert_eq!(
            series(known),
            Some(f64::from(u8::from(known == status))),
            "{known:?}"
        );
    }
    answer
}

#[tokio::test]
async fn an_answer_passes_untouched_and_is_accounted() {
    let body =
        completion(1_000, 400, 10).replace("\"created\":1", "\"created\": 12345678901234567890, \"x\": 1.0");
    let provider = FaultyProvider::always(Script::json(200, &body));
    let harness = Harness::over(&provider);

    let answer = call(&harness, Status::Success).await;

    assert_eq!((answer.status, answer.text.as_str()), (200, body.as_str()));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let outcome = harness.outcome();
    assert_eq!(
        (outcome.tokens.input, outcome.tokens.cached, outcome.tokens.output),
        (1_000, 400, 10)
    );
    assert_eq!(outcome.cost.picodollars(), 126_000_000);
    assert_eq!((outcome.attempts, outcome.finish_reason), (1, Some("stop")));
    assert_eq!(outcome.usage_source, UsageSource::Provider);
    assert_eq!(
        harness.metric(r#"credits_used_total{provider="p0",model="m"}"#),
        Some(0.000_126)
    );
    assert_eq!(
        harness.metric(r#"tokens_used_total{provider="p0",model="m",token_type="input"}"#),
        Some(1_000.0)
    );
    assert_eq!(
        harness.metric(r#"model_inference_duration_seconds_count{provider="p0",model="m"}"#),
        Some(1.0)
    );
    assert_eq!(
        harness.metric(r#"provider_response_time_seconds_count{provider="p0"}"#),
        Some(1.0)
    );
}

#[tokio::test]
async fn the_request_goes_up_as_it_came_with_our_key() {
    let provider = FaultyProvider::always(Script::json(200, &completion(1, 0, 1)));
    let harness = Harness::over(&provider);
    let mut call = harness.call();
    for (name, value) in [
        ("Authorization", "Bearer client-key"),
        ("Cookie", "a=b"),
        ("OpenAI-Organization", "org"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("Connection", "close"),
        ("OpenAI-Beta", "assistants=v2"),
        ("Idempotency-Key", "k-1"),
    ] {
        call.header(name, value.as_bytes());
    }

    let body =
        r#"{"x":12345678901234567890, "model":"m","messages":[{"role":"user","content":"\u00e9"}],"y":1.0}"#;
    harness.gateway.chat(body.into(), call).await.unwrap();

    let received = provider.requests().remove(0);
    assert_eq!(received.target, "POST /v1/chat/completions");
    assert_eq!(received.text(), body.replace("\"m\"", "\"up-0\""));
    assert_eq!(
        received.header("authorization"),
        Some(format!("Bearer {KEY}").as_str())
    );
    assert_eq!(received.header("accept-encoding"), Some("identity"));
    assert_eq!(received.header("openai-beta"), Some("assistants=v2"));
    assert_eq!(received.header("idempotency-key"), Some("k-1"));
    let mut names: Vec<_> = received.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept",
            "accept-encoding",
            "authorization",
            "content-length",
            "content-type",
            "host",
            "idempotency-key",
            "openai-beta",
            "user-agent",
        ]
    );
}

#[tokio::test]
async fn a_body_that_cannot_be_routed_is_no_call() {
    let provider = FaultyProvider::always(Script::json(200, &completion(1, 0, 1)));
    let harness = Harness::over(&provider);
    let send = async |body: &str| {
        let answered = harness.gateway.chat(body.to_owned().into(), harness.call()).await;
        read(answered.unwrap_err().answer()).await
    };

    send("{").await.expect_error(400, "invalid_request_error", None);
    send(r#"{"messages":[1]}"#)
        .await
        .expect_error(400, "invalid_request_error", None);
    let unknown = send(r#"{"model":"nobody-knows","messages":[1]}"#).await;
    unknown.expect_error(404, "invalid_request_error", Some("model_not_found"));
    let answered = harness
        .gateway
        .embeddings(r#"{"model":"m","input":"x"}"#.into(), harness.call())
        .await;
    read(answered.unwrap_err().answer())
        .await
        .expect_error(400, "invalid_request_error", None);

    assert!(harness.outcomes().is_empty());
    assert!(provider.requests().is_empty());
    assert!(!harness.page().contains("nobody-knows"));
}

#[tokio::test]
async fn a_refusal_of_the_request_is_passed_on_without_keys_and_not_repeated() {
    for status in [400, 404, 413, 422] {
        let said = json!({"error": {"message": format!("bad with {KEY}"), "type": "invalid_request_error",
            "param": "messages[0]", "code": "context_length_exceeded", "internal": "x"}});
        let provider = FaultyProvider::always(Script::json(status, &said.to_string()));
        let harness = Harness::new(&catalog(&[&provider, &provider], ""));

        let answer = call(&harness, Status::Error).await;

        answer.expect_error(status, "invalid_request_error", Some("context_length_exceeded"));
        assert_eq!(answer.json()["error"]["message"], "bad with ***");
        assert_eq!(answer.json()["error"]["param"], "messages[0]");
        assert_eq!(provider.requests().len(), 1);
        assert_eq!(answer.header("x-should-retry"), None);
    }
}

#[tokio::test]
async fn a_bad_key_of_ours_is_never_the_clients_401() {
    for status in [401, 403] {
        let provider = FaultyProvider::always(Script::json(status, r#"{"error":{"message":"bad key"}}"#));
        let harness = Harness::over(&provider);

        let answer = call(&harness, Status::Error).await;

        answer.expect_error(502, "api_error", Some("upstream_auth_error"));
        assert_eq!(provider.requests().len(), 1, "another try would be refused too");
    }
}

#[tokio::test]
async fn a_limit_of_the_provider_is_told_with_its_delay() {
    let limited = Script::whole(
        429,
        &[("retry-after", "30")],
        r#"{"error":{"message":"slow down"}}"#,
    );
    let provider = FaultyProvider::always(limited);
    let harness = Harness::over(&provider);

    let answer = call(&harness, Status::Error).await;

    answer.expect_error(429, "requests", Some("rate_limit_exceeded"));
    assert_eq!(answer.header("retry-after"), Some("30"));
    assert_eq!(answer.header("x-gatewayz-limit-scope"), Some("upstream"));
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert_eq!(provider.requests().len(), 1, "30 s are too long to be waited for");
}

#[tokio::test]
async fn a_limit_without_a_delay_is_told_with_one_of_ours() {
    let past = "Sun, 06 Nov 1994 08:49:37 GMT";
    for limited in [
        Script::json(429, "{}"),
        Script::whole(429, &[("retry-after", past)], "{}"),
    ] {
        let answer = Harness::answering(limited).read(&request()).await;

        answer.expect_error(429, "requests", Some("rate_limit_exceeded"));
        assert_eq!(answer.header("retry-after"), Some("5"));
    }
}

#[tokio::test]
async fn a_short_delay_asked_for_is_kept() {
    let provider = FaultyProvider::always(Script::json(200, &completion(1, 0, 1)));
    provider.next(Script::whole(429, &[("retry-after", "1")], "{}"));
    let harness = Harness::over(&provider);

    let answer = call(&harness, Status::Success).await;

    assert_eq!(answer.status, 200);
    let requests = provider.requests();
    assert!(requests[1].at - requests[0].at >= Duration::from_secs(1));
    assert_eq!(harness.outcome().attempts, 2);
}

#[tokio::test]
async fn a_provider_without_credit_is_not_asked_again() {
    for (status, body) in [
        (402, "{}"),
        (429, r#"{"error":{"message":"no","code":"insufficient_quota"}}"#),
    ] {
        let provider = FaultyProvider::always(Script::json(status, body));
        let harness = Harness::over(&provider);

        call(&harness, Status::Error).await;

        assert_eq!(provider.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_provider_that_fails_is_tried_three_times_and_the_client_told_to_stop() {
    let html = Script::whole(502, &[("content-type", "text/html")], "<html>bad gateway</html>");
    for failing in [
        html,
        Script::json(500, "{}"),
        Script::json(503, r#"{"error":{"message":"secret internals"}}"#),
        Script::json(200, "<html>welcome</html>"),
        Script::json(200, ""),
        Script::json(200, r#"{"error":{"message":"overloaded"}}"#),
        Script::json(408, "{}"),
        Script::of([Step::Reset]),
        Script::of([Step::Close]),
        Script::of([
            Step::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"cho".to_vec()),
            Step::Close,
        ]),
        Script::of([Step::Raw(b"SSH-2.0-garbage\r\n\r\n".to_vec()), Step::Close]),
    ] {
        let provider = FaultyProvider::always(failing.clone());
        let harness = Harness::over(&provider);

        let answer = call(&harness, Status::Error).await;

        answer.expect_error(502, "api_error", Some("upstream_error"));
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        assert!(!answer.text.contains("internals"), "{}", answer.text);
        assert_eq!(provider.requests().len(), 3, "{failing:?}");
        assert_eq!(harness.outcome().attempts, 3);
        assert_eq!(harness.metric(r#"provider_error_rate{provider="p0"}"#), Some(1.0));
    }
}

#[tokio::test]
async fn an_answer_beyond_every_bound_is_refused() {
    let head =
        |length: &str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{length}\r\n").into_bytes();
    let headers: String = (0..70)
        .map(|index| format!("x-{index}: {}\r\n", "y".repeat(1_000)))
        .collect();
    for endless in [
        Script::of([Step::Raw(head(&headers)), Step::End]),
        Script::of([
            Step::Raw(head("")),
            Step::Forever(vec![b' '; 1024 * 1024], Duration::ZERO),
        ]),
        Script::of([
            Step::Raw(b"HTTP/1.1 200 OK\r\n".to_vec()),
            Step::Raw(headers.repeat(20).into()),
            Step::Hang,
        ]),
    ] {
        let provider = FaultyProvider::always(endless);
        let harness = Harness::over(&provider);

        let answer = call(&harness, Status::Error).await;

        answer.expect_error(502, "api_error", Some("upstream_error"));
    }
}

#[tokio::test]
async fn another_provider_takes_over_before_the_first_byte() {
    for failing in [
        Script::json(500, "{}"),
        Script::json(401, "{}"),
        Script::json(402, "{}"),
        Script::json(429, "{}"),
        Script::json(200, "<html>"),
        Script::of([Step::Reset]),
    ] {
        let (bad, good) = (
            FaultyProvider::always(failing),
            FaultyProvider::always(Script::json(200, &completion(1, 0, 1))),
        );
        let harness = Harness::new(&catalog(&[&bad, &good], ""));

        let answer = harness.read(&request()).await;

        assert_eq!(answer.status, 200, "{}", answer.text);
        let outcome = harness.outcome();
        assert_eq!((&*outcome.provider, outcome.attempts), ("p1", 2));
        assert_eq!((bad.requests().len(), good.requests().len()), (1, 1));
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_gives_502_and_then_503_with_a_delay() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let catalog = catalog_of(&[format!("http://{closed}/v1")], "", "");
    let harness = Harness::new(&catalog);

    harness
        .read(&request())
        .await
        .expect_error(502, "api_error", Some("upstream_error"));
    harness
        .read(&request())
        .await
        .expect_error(502, "api_error", Some("upstream_error"));
    let answer = harness.read(&request()).await;

    answer.expect_error(503, "api_error", Some("no_available_provider"));
    let retry_after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((25..=30).contains(&retry_after), "{retry_after}");
    assert_eq!(harness.outcomes()[2].attempts, 0);
    assert_eq!(
        harness.metric(r#"provider_breaker_open{provider="p0",model="m"}"#),
        Some(1.0)
    );
    assert_eq!(
        harness.metric(r#"provider_availability{provider="p0"}"#),
        Some(0.0)
    );
}

#[tokio::test]
async fn a_slow_answer_ends_in_504() {
    let silent = Script::of([Step::Hang]);
    let half = Script::of([
        Step::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{".to_vec()),
        Step::Hang,
    ]);
    for (script, timeouts) in [
        (&silent, "total_seconds = 0.3"),
        (&half, "total_seconds = 0.3"),
        (&half, "idle_seconds = 0.3"),
    ] {
        let provider = FaultyProvider::always(script.clone());
        let timeouts = format!("timeouts = {{ {timeouts} }}");
        let harness = Harness::new(&catalog_of(&[provider.base_url()], &timeouts, ""));

        let answer = call(&harness, Status::Timeout).await;

        answer.expect_error(504, "timeout_error", Some("upstream_timeout"));
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    }
}

#[tokio::test]
async fn a_slow_first_byte_moves_a_stream_on_but_the_last_provider_is_waited_for() {
    let hello = crate::harness::HELLO;
    let slow = FaultyProvider::always(Script::of([Step::Hang]));
    let late = Script::open_stream(&[]).then(Step::Pause(Duration::from_millis(400)));
    let late = late
        .then(Step::Chunk(
            [hello, crate::harness::STOP, crate::harness::DONE]
                .concat()
                .into(),
        ))
        .then(Step::End);
    let last = FaultyProvider::always(late);
    let urls = [slow.base_url(), last.base_url()];
    let harness = Harness::new(&catalog_of(&urls, "timeouts = { first_byte_seconds = 0.2 }", ""));

    let answer = harness.read(&streamed()).await;

    assert!(answer.text.starts_with(hello), "{}", answer.text);
    assert_eq!(harness.outcome().attempts, 2);
    assert_eq!((slow.requests().len(), last.requests().len()), (1, 1));
}

#[tokio::test]
async fn models_are_listed_as_openai_lists_them() {
    let harness = Harness::new(&Catalog::echo());

    let list = read(harness.gateway.models()).await.json();
    let one = read(harness.gateway.model("echo").unwrap()).await.json();

    assert_eq!(list["object"], "list");
    assert_eq!(list["data"][0], one);
    assert_eq!(
        one,
        json!({"id": "echo", "object": "model", "created": 0, "owned_by": "echo"})
    );
    let unknown = read(harness.gateway.model("a/b").unwrap_err().answer()).await;
    unknown.expect_error(404, "invalid_request_error", Some("model_not_found"));
}

#[tokio::test]
async fn embeddings_pass_in_the_encoding_asked_for() {
    let harness = Harness::new(&Catalog::echo());
    let body = json!({"model": "echo-embed", "input": ["a b", "c"], "encoding_format": "base64"});

    let answer = harness
        .gateway
        .embeddings(body.to_string().into(), harness.call())
        .await
        .unwrap();

    let answer = read(answer).await.json();
    assert!(answer["data"][1]["embedding"].is_string());
    assert_eq!(harness.outcome().tokens.input, 3);
    assert_eq!(harness.outcome().operation, "embeddings");
}

#[tokio::test]
async fn long_answers_share_their_room_until_they_are_sent() {
    let long = completion(1, 0, 1).replace("Hello", &"x".repeat(300 * 1024));
    let provider = FaultyProvider::always(Script::json(200, &long));
    let settings = GatewaySettings {
        answers_max_bytes: 400 * 1024,
        ..GatewaySettings::default()
    };
    let harness = Harness::with(&catalog(&[&provider], ""), settings);

    let unsent = harness.chat(&request()).await.unwrap();
    let refused = harness.read(&request()).await;
    let sent = read(unsent).await;
    let again = harness.read(&request()).await;

    refused.expect_error(503, "server_error", Some("overloaded"));
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!((sent.status, sent.text.len()), (200, long.len()));
    assert_eq!(again.status, 200);
    let errors: Vec<_> = harness.outcomes().iter().map(|outcome| outcome.error).collect();
    assert_eq!(errors, [None, Some("overloaded"), None]);
    assert_eq!(harness.metric(r#"provider_error_rate{provider="p0"}"#), Some(0.0));
}
