//! `/v1` as a client meets it: keys, bounds, errors, and the three signals of a call.

use std::io::{Read, Write};
use std::net::TcpStream;

use gatewayz_testkit::http::{Answer, Client};
use gatewayz_testkit::otlp::{Receiver, SpanKind};
use gatewayz_testkit::process::Signal;
use gatewayz_testkit::provider::{FaultyProvider, Script};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Api, DEADLINE, hashed, spawn, spawn_in, wait_for};
use crate::inference_metrics::ANSWER;

fn chat(model: &str, content: &str) -> Vec<u8> {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": content }] });
    body.to_string().into_bytes()
}

#[track_caller]
fn post(api: &Api, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let headers: Vec<_> = [("content-type", "application/json")]
        .iter()
        .chain(headers)
        .copied()
        .collect();
    api.request("POST", path, &headers, body)
}

#[track_caller]
fn parsed(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

/// Every failure under /v1 is OpenAI's error object with all four keys.
#[track_caller]
fn check_error(answer: &Answer, status: u16, kind: &str, code: Option<&str>) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let error = &parsed(answer)["error"];
    let keys: Vec<&String> = error.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["message", "type", "param", "code"], "{error}");
    assert_eq!(
        (error["type"].as_str(), error["code"].as_str()),
        (Some(kind), code),
        "{error}"
    );
    assert!(answer.header("x-request-id").is_some());
}

#[test]
fn a_call_leaves_one_line_with_its_model_tokens_and_cost_and_one_client_span() {
    let receiver = Receiver::start();
    let endpoint = receiver.grpc_endpoint();
    let api = spawn(&[
        ("TEMPO_OTLP_GRPC_ENDPOINT", &endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ]);

    let answer = post(
        &api,
        "/v1/chat/completions",
        &[],
        &chat("echo", "one secret phrase"),
    );

    assert_eq!(answer.status, 200, "{}", answer.text());
    let trace_id = answer.header("x-trace-id").unwrap().to_owned();
    let line = api.wait_for_line(|line| line["endpoint"] == "/v1/chat/completions");
    assert_eq!(line["trace_id"], trace_id.as_str());
    let call = [
        "model",
        "provider",
        "inference_status",
        "cache",
        "usage_source",
        "finish_reason",
    ];
    let call = call.map(|key| line[key].as_str().unwrap_or_default());
    assert_eq!(
        call,
        ["echo", "echo", "success", "bypass", "provider", "stop"],
        "{line}"
    );
    assert_eq!(
        (&line["input_tokens"], &line["output_tokens"]),
        (&json!(3), &json!(3))
    );
    assert_eq!((&line["attempts"], &line["cost_usd"]), (&json!(1), &json!(0)));
    receiver.wait_for(2, DEADLINE).unwrap();
    let spans = receiver.spans();
    let server = spans.iter().find(|span| span.kind == SpanKind::Server).unwrap();
    let client = spans.iter().find(|span| span.kind == SpanKind::Client).unwrap();
    assert_eq!(client.parent_span_id, Some(server.span_id));
    assert_eq!(
        (server.trace_id_hex(), client.name.as_str()),
        (trace_id, "chat echo")
    );
    assert_eq!(client.string("gen_ai.request.model"), Some("echo"));
    assert_eq!(client.int("gen_ai.usage.output_tokens"), Some(3));
    assert_eq!(
        client.strings("gen_ai.response.finish_reasons"),
        Some(vec!["stop"])
    );
    let everything = format!(
        "{spans:?}{:?}{}",
        api.service.stdout(),
        api.get("/metrics").text()
    );
    assert!(!everything.contains("secret phrase"), "content is in a signal");
}

#[test]
fn a_stream_ends_with_its_last_event_and_is_counted_once() {
    let api = spawn(&[]);
    let body =
        json!({ "model": "echo", "stream": true, "messages": [{ "role": "user", "content": "a b c" }] });

    let answer = post(&api, "/v1/chat/completions", &[], body.to_string().as_bytes());

    assert_eq!(
        answer.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    let text = answer.text();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(!text.contains("prompt_tokens"), "usage was not asked for: {text}");
    let line = api.wait_for_line(|line| line["endpoint"] == "/v1/chat/completions");
    assert_eq!(
        (&line["output_tokens"], &line["inference_status"]),
        (&json!(3), &json!("success")),
        "{line}"
    );
    assert!(line["time_to_first_token_ms"].as_f64().unwrap() > 0.0);
    let samples = api.scrape();
    assert_eq!(
        samples.sum("model_inference_requests_total", &[("model", "echo")]),
        1.0
    );
    let output = [("model", "echo"), ("token_type", "output")];
    assert_eq!(samples.sum("tokens_used_total", &output), 3.0);
    let first = [("model", "echo")];
    assert_eq!(
        samples.sum("model_inference_time_to_first_token_seconds_count", &first),
        1.0
    );
}

#[test]
fn embeddings_and_models_are_answered() {
    let api = spawn(&[]);

    let embedded = post(
        &api,
        "/v1/embeddings",
        &[],
        br#"{"model":"echo-embed","input":["a","b"]}"#,
    );
    let models = parsed(&api.get("/v1/models"));

    assert_eq!(
        parsed(&embedded)["data"].as_array().unwrap().len(),
        2,
        "{}",
        embedded.text()
    );
    let ids: Vec<_> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model["id"])
        .collect();
    assert_eq!(ids, ["echo", "echo-embed"]);
    assert_eq!(parsed(&api.get("/v1/models/echo?verbose=1"))["id"], "echo");
}

#[test]
fn every_bad_call_is_refused_in_openais_words() {
    let api = spawn(&[("INFERENCE_BODY_MAX_BYTES", "4096")]);
    let invalid = "invalid_request_error";
    let call = |body: &[u8]| post(&api, "/v1/chat/completions", &[], body);

    let deep = format!("{{\"model\":\"echo\",\"messages\":{}", "[".repeat(3_000));
    for body in [
        b"".as_slice(),
        b"{",
        b"[]",
        deep.as_bytes(),
        br#"{"messages":[{"role":"user","content":"x"}]}"#,
        br#"{"model":"echo"}"#,
        br#"{"model":"echo","messages":"x"}"#,
        br#"{"model":7,"messages":[]}"#,
        br#"{"model":"echo","messages":[{"role":"user","content":"x"}],"stream":"yes"}"#,
    ] {
        check_error(&call(body), 400, invalid, None);
    }
    check_error(
        &call(&chat("gpt-unknown", "x")),
        404,
        invalid,
        Some("model_not_found"),
    );
    check_error(
        &call(&chat("echo", &"x".repeat(5_000))),
        413,
        invalid,
        Some("request_too_large"),
    );
    check_error(&api.get("/v1/models/none"), 404, invalid, Some("model_not_found"));
    check_error(&api.get("/v1/files"), 404, invalid, Some("unknown_url"));
    let wrong_method = api.get("/v1/chat/completions");
    check_error(&wrong_method, 405, invalid, Some("method_not_allowed"));
    assert_eq!(wrong_method.header("allow"), Some("POST"));
    let encoded = post(
        &api,
        "/v1/chat/completions",
        &[("content-encoding", "gzip")],
        b"x",
    );
    check_error(&encoded, 415, invalid, None);

    // The service goes on, and what could not be routed made no series.
    assert_eq!(call(&chat("echo", "x")).status, 200);
    let page = api.get("/metrics").text();
    assert!(!page.contains("gpt-unknown"));
    assert_eq!(
        api.scrape()
            .sum("model_inference_requests_total", &[("provider", "echo")]),
        1.0
    );
}

#[test]
fn only_known_keys_may_call_where_there_are_keys_and_each_has_its_own_rate() {
    let key = "client-key-of-the-shop-1";
    let entry = hashed("shop", key);
    let api = spawn(&[("API_KEYS_SHA256", &entry), ("API_KEY_REQUESTS_PER_MINUTE", "2")]);
    let call = |key: &str| {
        let authorization = format!("Bearer {key}");
        post(
            &api,
            "/v1/chat/completions",
            &[("authorization", &authorization)],
            &chat("echo", "x"),
        )
    };

    let (first, second, third) = (call(key), call(key), call(key));

    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(first.header("x-ratelimit-limit-requests"), Some("2"));
    assert_eq!(first.header("x-ratelimit-remaining-requests"), Some("1"));
    check_error(&third, 429, "requests", Some("rate_limit_exceeded"));
    assert!(third.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    check_error(
        &call("another-key"),
        401,
        "invalid_request_error",
        Some("invalid_api_key"),
    );
    let stranger = api.get("/v1/models");
    check_error(&stranger, 401, "invalid_request_error", Some("invalid_api_key"));
    assert_eq!(
        stranger.header("www-authenticate"),
        Some("Bearer realm=\"gatewayz\"")
    );
    let both = format!("Bearer {key}");
    let twice = [("authorization", &*both), ("authorization", "Bearer x")];
    assert_eq!(api.request("GET", "/v1/models", &twice, b"").status, 401);
    let line = api.wait_for_line(|line| line["api_key"] == "shop");
    assert_eq!(line["status_code"], 200);
    let authorization = format!("Bearer {key}");
    let models = api.request("GET", "/v1/models", &[("authorization", &authorization)], b"");
    assert_eq!(models.status, 429);
    for endpoint in ["/v1/chat/completions", "/v1/models"] {
        let refused = api.wait_for_line(|line| line["status_code"] == 429 && line["endpoint"] == endpoint);
        assert_eq!(refused["api_key"], "shop", "{refused}");
    }
    let stranger = api.wait_for_line(|line| line["status_code"] == 401);
    assert_eq!(stranger.get("api_key"), None, "{stranger}");
    let said = [api.service.stdout(), api.service.stderr()].concat().concat();
    assert!(!said.contains(key) && !said.contains("another-key"));
}

#[test]
fn outside_of_local_nothing_is_open_and_nothing_is_served_without_a_catalog() {
    let api = spawn(&[("ENVIRONMENT", "staging")]);

    let refused = post(&api, "/v1/chat/completions", &[], &chat("echo", "x"));

    check_error(&refused, 503, "api_error", Some("not_configured"));
    assert_eq!(api.get("/ready").status, 200);

    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("catalog.toml"), CATALOG).unwrap();
    let environment = [("ENVIRONMENT", "staging"), ("CATALOG_FILE", "catalog.toml")];
    let closed = spawn_in(directory.path(), &environment);
    check_error(
        &closed.get("/v1/models"),
        401,
        "invalid_request_error",
        Some("invalid_api_key"),
    );
}

#[test]
fn a_long_answer_is_in_memory_once() {
    const LENGTH: usize = 40 << 20;
    let text = "x".repeat(LENGTH);
    let answer = ANSWER.replace("\"hi\"", &format!("\"{text}\""));
    let provider = FaultyProvider::always(Script::json(200, &answer));
    let (api, _directory) = spawn_before(&provider);
    let before = api.service.peak_memory_bytes().unwrap();

    let got = post(&api, "/v1/chat/completions", &[], &chat("team/first", "x"));

    assert_eq!((got.status, got.body.len()), (200, answer.len()));
    assert_eq!(got.body, answer.as_bytes());
    let grown = api.service.peak_memory_bytes().unwrap() - before;
    assert!(grown < (LENGTH + LENGTH / 2) as u64, "{grown} bytes for {LENGTH}");
}

/// A service whose model is served by this provider.
#[track_caller]
fn spawn_before(provider: &FaultyProvider) -> (Api, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let catalog = CATALOG.replace(
        "\"echo\"\n\n",
        &format!("\"openai\"\nbase_url = \"{}\"\n\n", provider.base_url()),
    );
    std::fs::write(directory.path().join("catalog.toml"), catalog).unwrap();
    let api = spawn_in(directory.path(), &[("CATALOG_FILE", "catalog.toml")]);
    (api, directory)
}

#[test]
fn a_call_without_a_file_for_its_connection_says_nothing_of_the_provider() {
    let provider = FaultyProvider::always(Script::json(200, ANSWER));
    let (api, _directory) = spawn_before(&provider);
    let mut client = api.client();
    let call = |client: &mut Client| {
        let headers = [("content-type", "application/json")];
        client
            .post("/v1/chat/completions", &headers, &chat("team/first", "x"))
            .unwrap()
    };
    assert_eq!(client.get("/live", &[]).unwrap().status, 200);
    api.limit_open_files(Some(0));
    // As many as would open a breaker twice.
    for _ in 0..10 {
        let refused = call(&mut client);
        check_error(&refused, 503, "server_error", Some("overloaded"));
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    api.limit_open_files(None);

    assert_eq!(call(&mut client).status, 200);
}

const CATALOG: &str = r#"
[[providers]]
name = "local"
kind = "echo"

[[models]]
id = "team/first"
candidates = [{ provider = "local", model = "echo", price = { input = 1.5, output = 2 } }]
"#;

#[test]
fn a_hangup_reads_the_catalog_again_and_a_mistake_keeps_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.toml");
    std::fs::write(&path, CATALOG).unwrap();
    let api = spawn_in(directory.path(), &[("CATALOG_FILE", "catalog.toml")]);
    let model = |id: &str| api.get(&format!("/v1/models/{id}")).status;
    assert_eq!((model("team%2Ffirst"), model("second")), (200, 404));
    assert_eq!((model("team/first"), model("team/second")), (200, 404));

    std::fs::write(&path, CATALOG.replace("team/first", "second")).unwrap();
    api.service.signal(Signal::HUP).unwrap();
    let swapped = wait_for(DEADLINE, || (model("second") == 200).then_some(()));
    let mut file = std::fs::File::options().append(true).open(&path).unwrap();
    file.write_all(b"\n[[models]]\nid = \"third\"\n").unwrap();
    api.service.signal(Signal::HUP).unwrap();
    let told = api.wait_for_line(|line| line["target"] == "gatewayz_api::reload" && line["level"] == "ERROR");

    assert_eq!(swapped, Some(()));
    assert!(
        told["message"].as_str().unwrap().contains("stays as it was"),
        "{told}"
    );
    assert_eq!(
        (model("second"), model("third"), model("team%2Ffirst")),
        (200, 404, 404)
    );
    let answer = post(&api, "/v1/chat/completions", &[], &chat("second", "one two"));
    assert_eq!(answer.status, 200);
    // Two tokens in at 1.5 and two out at 2 dollars a million.
    let credits = api.scrape().sum("credits_used_total", &[("model", "second")]);
    assert!((credits - 7e-6).abs() < 1e-12, "{credits}");
}

#[test]
fn a_catalog_with_mistakes_is_told_line_by_line_and_the_service_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let wrong = CATALOG.replace("kind = \"echo\"", "kind = \"telepathy\"");
    std::fs::write(directory.path().join("catalog.toml"), wrong).unwrap();
    let environment = [("CATALOG_FILE", "catalog.toml"), ("PORT", "0")];

    let binary = crate::harness::binary();
    let mut service =
        gatewayz_testkit::process::Service::start(binary, &["check-config"], &environment, directory.path())
            .unwrap();
    let exit = service.wait_exit(DEADLINE).unwrap();

    assert_eq!(exit.code(), Some(78));
    let said = service.stderr().concat();
    assert!(
        said.contains("CATALOG_FILE") && said.contains("line 4") && !said.contains("telepathy"),
        "{said}"
    );
}

#[test]
fn a_stream_for_a_client_of_http_1_0_ends_with_its_connection() {
    let api = spawn(&[]);
    let body = r#"{"model":"echo","stream":true,"messages":[{"role":"user","content":"x"}]}"#;
    let mut socket = TcpStream::connect(api.address).unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.0\r\nhost: h\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );

    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();

    let (head, events) = answer.split_once("\r\n\r\n").unwrap();
    assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
    assert!(
        events.starts_with("data: {") && events.ends_with("data: [DONE]\n\n"),
        "{events}"
    );
}
