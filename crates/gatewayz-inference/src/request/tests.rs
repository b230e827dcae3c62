//! Reading and splicing of client bodies.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn chat(body: &str) -> Result<Request, RequestError> {
    Request::parse(Operation::Chat, Bytes::copy_from_slice(body.as_bytes()))
}

#[track_caller]
fn spliced(body: &str, model: &str, expected: &str) {
    let request = chat(body).unwrap();

    let upstream = request.for_provider(model);

    assert_eq!(str::from_utf8(&upstream).unwrap(), expected);
}

#[track_caller]
fn refused(operation: Operation, body: &[u8], param: Option<&str>, message: &str) {
    let error = Request::parse(operation, Bytes::copy_from_slice(body)).unwrap_err();

    assert_eq!(error.param, param, "{error}");
    assert!(error.message.contains(message), "{error}");
}

#[test]
fn everything_but_the_model_stays_as_it_is() {
    spliced(
        r#" { "x_new": 12345678901234567890, "y": 1.0 , "model" :"a\u0062c", "messages":[{"role":"user","content":"\u00e9 \ud83d\ude00"}], "z":1e400 } "#,
        "gpt-4.1",
        r#" { "x_new": 12345678901234567890, "y": 1.0 , "model" :"gpt-4.1", "messages":[{"role":"user","content":"\u00e9 \ud83d\ude00"}], "z":1e400 } "#,
    );
}

#[test]
fn an_unchanged_body_is_shared() {
    let request = chat(r#"{"model":"a","messages":[1]}"#).unwrap();

    assert_eq!(request.for_provider("a").as_ptr(), request.body.as_ptr());
}

#[test]
fn a_model_name_is_escaped() {
    spliced(
        r#"{"model":"a","messages":[1]}"#,
        "a\"b\\",
        r#"{"model":"a\"b\\","messages":[1]}"#,
    );
}

#[test]
fn usage_is_asked_for_in_every_stream() {
    for (options, expected) in [
        ("", r#""stream_options":{"include_usage":true},"#),
        (
            r#""stream_options":null,"#,
            r#""stream_options":{"include_usage":true},"#,
        ),
        (
            r#""stream_options":{ },"#,
            r#""stream_options":{"include_usage":true },"#,
        ),
        (
            r#""stream_options":{"x":1},"#,
            r#""stream_options":{"include_usage":true,"x":1},"#,
        ),
        (
            r#""stream_options":{"x":1, "include_usage" : false},"#,
            r#""stream_options":{"x":1, "include_usage" : true},"#,
        ),
        (
            r#""stream_options":{"include_usage":null},"#,
            r#""stream_options":{"include_usage":true},"#,
        ),
    ] {
        let body = |options: &str| format!(r#"{{{options}"stream":true,"model":"a","messages":[1]}}"#);
        spliced(&body(options), "a", &body(expected));
        assert!(!chat(&body(options)).unwrap().usage_asked, "{options}");
    }
}

#[test]
fn usage_that_is_asked_for_is_left_alone() {
    let body = r#"{"model":"a","messages":[1],"stream":true,"stream_options":{"include_usage":true}}"#;

    spliced(body, "a", body);
    assert!(chat(body).unwrap().usage_asked);
}

#[test]
fn a_body_that_is_no_stream_gets_no_stream_options() {
    for stream in ["false", "null"] {
        let body = format!(r#"{{"model":"a","messages":[1],"stream":{stream}}}"#);
        spliced(&body, "a", &body);
    }
}

#[test]
fn a_body_of_another_form_is_refused_by_name() {
    use Operation::{Chat, Embeddings};
    let cases: &[(Operation, &[u8], Option<&str>, &str)] = &[
        (Chat, b"", None, "not valid JSON"),
        (Chat, b"{\"model\":\"a\",", None, "not valid JSON (line 1"),
        (Chat, b"[1]", None, "must be a JSON object"),
        (Chat, b"\"model\"", None, "must be a JSON object"),
        (
            Chat,
            b"{\"model\":\"a\",\"messages\":[1]} x",
            None,
            "not valid JSON",
        ),
        (
            Chat,
            b"{\"model\":\"\xff\",\"messages\":[1]}",
            None,
            "not valid UTF-8",
        ),
        (Chat, b"{\"messages\":[1]}", Some("model"), "must provide a model"),
        (
            Chat,
            b"{\"model\":1,\"messages\":[1]}",
            Some("model"),
            "must be a string",
        ),
        (
            Chat,
            b"{\"model\":null,\"messages\":[1]}",
            Some("model"),
            "must be a string",
        ),
        (Chat, b"{\"model\":\"a\"}", Some("messages"), "Missing"),
        (
            Chat,
            b"{\"model\":\"a\",\"messages\":\"hi\"}",
            Some("messages"),
            "array",
        ),
        (
            Chat,
            b"{\"model\":\"a\",\"messages\":[ ]}",
            Some("messages"),
            "empty",
        ),
        (
            Chat,
            b"{\"model\":\"a\",\"messages\":[1],\"stream\":1}",
            Some("stream"),
            "boolean",
        ),
        (
            Chat,
            b"{\"model\":\"a\",\"messages\":[1],\"stream_options\":3}",
            Some("stream_options"),
            "object",
        ),
        (
            Chat,
            b"{\"model\":\"a\",\"messages\":[1],\"stream_options\":{\"include_usage\":\"yes\"}}",
            Some("stream_options.include_usage"),
            "boolean",
        ),
        (
            Chat,
            b"{\"model\":\"a\",\"messages\":[1],\"model\":\"b\"}",
            Some("model"),
            "more than once",
        ),
        (
            Chat,
            b"{\"model\":\"a\",\"messages\":[1],\"mod\\u0065l\":\"b\"}",
            Some("model"),
            "more than once",
        ),
        (Embeddings, b"{\"model\":\"a\"}", Some("input"), "Missing"),
        (
            Embeddings,
            b"{\"model\":\"a\",\"input\":7}",
            Some("input"),
            "string or an array",
        ),
        (
            Embeddings,
            b"{\"model\":\"a\",\"input\":\"\"}",
            Some("input"),
            "empty",
        ),
        (
            Embeddings,
            b"{\"model\":\"a\",\"input\":[]}",
            Some("input"),
            "empty",
        ),
    ];
    for (operation, body, param, message) in cases {
        refused(*operation, body, *param, message);
    }
}

#[test]
fn nesting_is_bounded_and_brackets_in_strings_do_not_nest() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"model":"a","messages":{open}{close}}}"#)
    };
    assert!(chat(&nested(MAX_DEPTH - 1).replace("[]", "[1]")).is_ok());
    refused(Operation::Chat, nested(MAX_DEPTH).as_bytes(), None, "nested");
    refused(Operation::Chat, nested(1_000_000).as_bytes(), None, "nested");

    let text = format!(
        r#"{{"model":"a","messages":["{}\\\"{}"]}}"#,
        "[".repeat(500),
        "{".repeat(500)
    );
    assert!(chat(&text).is_ok());
}

#[test]
fn a_request_is_repeatable_with_temperature_zero_or_a_seed() {
    for (member, expected) in [
        (r#""temperature":0"#, true),
        (r#""temperature":0.0"#, true),
        (r#""temperature":-0e5"#, true),
        (r#""temperature":0.1"#, false),
        (r#""temperature":"0""#, false),
        (r#""seed":7"#, true),
        (r#""seed":null"#, false),
        (r#""n":1"#, false),
    ] {
        let request = chat(&format!(r#"{{"model":"a","messages":[1],{member}}}"#)).unwrap();
        assert_eq!(request.repeatable, expected, "{member}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((".*", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn splicing_changes_the_model_and_the_usage_option_alone(
        before in proptest::collection::vec(("x.*", any_json()), 0..4),
        after in proptest::collection::vec(("y.*", any_json()), 0..4),
        model in ".*",
        upstream in ".*",
        stream in any::<bool>(),
        options in proptest::option::of(proptest::collection::vec(("z.*", any_json()), 0..3)),
        pretty in any::<bool>(),
    ) {
        let mut body = serde_json::Map::new();
        body.extend(before);
        body.insert("model".into(), json!(model));
        body.insert("messages".into(), json!([{"role": "user", "content": "hi"}]));
        body.insert("stream".into(), json!(stream));
        if let Some(options) = options {
            body.insert("stream_options".into(), Value::Object(options.into_iter().collect()));
        }
        body.extend(after);
        let text = if pretty { serde_json::to_string_pretty(&body) } else { serde_json::to_string(&body) }.unwrap();

        let request = chat(&text).unwrap();
        let mut sent: serde_json::Map<String, Value> =
            serde_json::from_slice(&request.for_provider(&upstream)).unwrap();

        prop_assert_eq!(request.stream, stream);
        prop_assert_eq!(sent.insert("model".into(), json!(model)), Some(json!(upstream)));
        if stream {
            let added = sent.get_mut("stream_options").unwrap().as_object_mut().unwrap();
            prop_assert_eq!(added.shift_remove("include_usage"), Some(json!(true)));
            if !body.contains_key("stream_options") {
                sent.shift_remove("stream_options");
            }
        }
        // Floats are compared as text: reading one and writing it again may change its last digit.
        let sorted = |map: &serde_json::Map<String, Value>| {
            let mut members: Vec<_> = map.iter().map(|(key, value)| (key.clone(), value.to_string())).collect();
            members.sort();
            members
        };
        let original: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(sorted(&sent), sorted(&original));
    }

    #[test]
    fn no_bytes_break_the_reader(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Request::parse(Operation::Chat, Bytes::from(body));
    }

    #[test]
    fn a_truncated_body_is_refused(cut in 0_usize..80) {
        let body = br#"{"model":"abc","messages":[{"role":"user","content":"x"}],"stream":true,"n":1}"#;
        let cut = cut.min(body.len() - 1);
        prop_assert!(Request::parse(Operation::Chat, Bytes::copy_from_slice(&body[..cut])).is_err());
    }
}
