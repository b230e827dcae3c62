//! A provider that others wrote: `llmock` of PyPI.

use std::path::Path;

use gatewayz_testkit::http::Client;
use gatewayz_testkit::process::Service;
use gatewayz_testkit::skip;
use gatewayz_testkit::tools::python_with;
use serde_json::{Value, json};

use super::{Gateway, KEY};
use crate::harness::{DEADLINE, wait_for};

const CHAT: &str = "/v1/chat/completions";

/// Text and usage of an answer.
type Said = (String, Value);

#[track_caller]
fn post(client: &mut Client, body: &Value) -> String {
    let authorization = format!("Bearer {KEY}");
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Content-Type", "application/json"),
    ];
    let answer = client.post(CHAT, &headers, body.to_string().as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

#[track_caller]
fn whole(client: &mut Client) -> Said {
    let body = json!({"model": "mock", "messages": [{"role": "user", "content": "Tell me of Zürich"}]});
    let answer: Value = serde_json::from_str(&post(client, &body)).unwrap();
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    (text.to_owned(), answer["usage"].clone())
}

/// The usage is null where no event has one.
#[track_caller]
fn streamed(client: &mut Client, options: Value) -> Said {
    let mut body = json!({"model": "mock", "messages": [{"role": "user", "content": "And of Bern?"}]});
    body["stream"] = json!(true);
    body["stream_options"] = options;
    let answer = post(client, &body);
    let events: Vec<&str> = answer
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(*done, "[DONE]");
    let chunks: Vec<Value> = chunks
        .iter()
        .map(|chunk| serde_json::from_str(chunk).unwrap())
        .collect();
    let pieces = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
    let usage = chunks
        .iter()
        .map(|chunk| &chunk["usage"])
        .find(|usage| !usage.is_null());
    (pieces.collect(), usage.cloned().unwrap_or_default())
}

#[test]
fn a_foreign_provider_is_passed_on_and_its_tokens_are_counted() {
    let python = match python_with(&["llmock"]) {
        Ok(python) => python,
        Err(reason) => {
            return skip(
                "a_foreign_provider_is_passed_on_and_its_tokens_are_counted",
                &reason,
            );
        }
    };
    let mock = Service::start(
        &python,
        &["-m", "llmock.cli", "serve", "--port", "0"],
        &[],
        Path::new("/"),
    )
    .unwrap();
    let address = mock.wait_for_address(DEADLINE).unwrap();
    let catalog = format!(
        "[[providers]]\nname = \"llmock\"\nkind = \"openai\"\nbase_url = \"http://{address}/v1\"\nprobe = false\n\n\
         [[models]]\nid = \"mock\"\ncandidates = [{{ provider = \"llmock\", model = \"mock\" }}]\n"
    );
    let gateway = Gateway::start(&catalog, &[]);
    let mut direct = Client::connect(address).unwrap();
    let mut client = gateway.api.client();

    let reported = [
        whole(&mut direct),
        streamed(&mut direct, json!({"include_usage": true})),
    ];
    let answered = [whole(&mut client), streamed(&mut client, Value::Null)];

    assert_eq!(answered[0], reported[0]);
    // Nobody asked for the usage of the stream.
    assert_eq!(answered[1], (reported[1].0.clone(), Value::Null));
    assert!(reported[1].0.contains(' '), "{reported:?}");
    let tokens = |kind: &str| -> u64 {
        reported
            .iter()
            .map(|(_, usage)| usage[kind].as_u64().unwrap())
            .sum()
    };
    // A call counts when its last byte is sent, which the client may see first.
    let both = || {
        let scrape = gateway.api.scrape();
        let succeeded = scrape.sum("model_inference_requests_total", &[("status", "success")]);
        (succeeded >= 2.0).then_some(scrape)
    };
    let scrape = wait_for(DEADLINE, both).unwrap();
    for (token_type, kind) in [("input", "prompt_tokens"), ("output", "completion_tokens")] {
        let labels = [
            ("provider", "llmock"),
            ("model", "mock"),
            ("token_type", token_type),
        ];
        assert!(tokens(kind) > 0, "{reported:?}");
        let counted = scrape.value("tokens_used_total", &labels);
        assert_eq!(counted, Some(tokens(kind) as f64), "{token_type}");
    }
    assert_eq!(scrape.sum("model_inference_requests_total", &[]), 2.0);
}
