//! Clients that do not take their answers.
#![cfg(target_os = "linux")]

use serde_json::json;

use super::assert_still_serving;
use crate::harness::{DEADLINE, PUBLISHED_KEY, spawn, wait_for};

#[test]
fn a_client_that_stops_reading_a_stream_is_given_up_and_its_call_ends() {
    let api = spawn(&[("ADMIN_API_KEY", PUBLISHED_KEY), ("CLIENT_STALL_TIMEOUT", "1")]);
    // More than the buffers of a connection take.
    let content = "word ".repeat(100_000);
    let body = json!({
        "model": "echo", "stream": true, "messages": [{ "role": "user", "content": content }]
    });
    let body = body.to_string();
    let mut client = api.client();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );

    client.send(head.as_bytes()).unwrap();
    client.send(body.as_bytes()).unwrap();
    let ended = wait_for(DEADLINE, || {
        let samples = api.scrape();
        let cancelled = [("model", "echo"), ("status", "cancelled")];
        (samples.sum("model_inference_requests_total", &cancelled) == 1.0).then_some(())
    });

    assert_eq!(ended, Some(()), "the call goes on for ever");
    let line = api.wait_for_line(|line| line["route"] == "/v1/chat/completions");
    assert_eq!(
        (&line["status_code"], &line["level"]),
        (&499.into(), &"WARN".into())
    );
    assert_still_serving(&api);
    drop(client);
}
