//! The bytes of both answers, as OpenAI forms them.

/// Events of a stream, the last of them with usage; `[DONE]` is not among them.
const EVENTS: usize = 36;
const USAGE: &str = r#"{"prompt_tokens":27,"completion_tokens":34,"total_tokens":61,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}}"#;

/// What is written, with its heads.
#[derive(Debug)]
pub(crate) struct Answers {
    /// A completion in one piece.
    pub(crate) whole: Vec<u8>,
    /// The same as a stream: each event is a chunk, and a piece.
    pub(crate) stream: Vec<Vec<u8>>,
    /// All pieces together.
    pub(crate) stream_at_once: Vec<u8>,
}

impl Answers {
    pub(crate) fn new() -> Self {
        let body = format!(
            r#"{{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion","created":1741569952,"model":"mock-1","choices":[{{"index":0,"message":{{"role":"assistant","content":"The three signals are metrics, logs and traces. Each request leaves one of each, joined by its trace id.","refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"stop"}}],"usage":{USAGE},"service_tier":"default","system_fingerprint":"fp_44709d6fcb"}}"#
        );
        let head = "HTTP/1.1 200 OK\r\ncontent-type: ";
        let length = body.len();
        let whole = format!("{head}application/json\r\ncontent-length: {length}\r\n\r\n{body}");
        let mut first = format!("{head}text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
        first.push_str(&chunk(&event(0)));
        let mut stream = vec![first];
        stream.extend((1..EVENTS).map(|index| chunk(&event(index))));
        stream.push(chunk("data: [DONE]\n\n") + "0\r\n\r\n");
        Self {
            whole: whole.into_bytes(),
            stream_at_once: stream.concat().into_bytes(),
            stream: stream.into_iter().map(String::into_bytes).collect(),
        }
    }
}

fn event(index: usize) -> String {
    let (choices, usage) = match index {
        0 => (
            choice(r#"{"role":"assistant","content":"","refusal":null}"#, "null"),
            "null",
        ),
        _ if index == EVENTS - 1 => (String::new(), USAGE),
        _ if index == EVENTS - 2 => (choice("{}", r#""stop""#), "null"),
        _ => (choice(r#"{"content":" signals"}"#, "null"), "null"),
    };
    format!(
        "data: {{\"id\":\"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT\",\"object\":\"chat.completion.chunk\",\
         \"created\":1741569952,\"model\":\"mock-1\",\"service_tier\":\"default\",\
         \"system_fingerprint\":\"fp_44709d6fcb\",\"choices\":[{choices}],\"usage\":{usage}}}\n\n"
    )
}

fn choice(delta: &str, finish_reason: &str) -> String {
    format!(r#"{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish_reason}}}"#)
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}
