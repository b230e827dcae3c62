//! The built-in provider: repeats the last user message word by word, without a network, always the same way.

mod embeddings;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Incoming, IncomingBody, Outgoing};
use crate::catalog::Operation;
use crate::error::ErrorObject;

const ID: &str = "chatcmpl-echo";
/// Longest body that is read. Reading and repeating it takes five times its memory.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The answer, made while it is read.
#[derive(Debug)]
pub(crate) enum Pieces {
    Whole(Option<Bytes>),
    Stream(Stream),
}

/// A streamed answer: role, one event a word, the end, usage when asked for, `[DONE]`.
#[derive(Debug)]
pub(crate) struct Stream {
    reply: Reply,
    include_usage: bool,
    position: usize,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Role,
    Words,
    End,
    Usage,
    Done,
    Over,
}

#[derive(Debug)]
struct Reply {
    model: String,
    text: String,
    finish_reason: &'static str,
    usage: Usage,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
}

#[derive(Deserialize)]
struct ChatRequest {
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    max_tokens: Option<usize>,
    #[serde(default)]
    max_completion_tokens: Option<usize>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    role: String,
    #[serde(default)]
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
}

/// Answers a request at once.
pub(crate) fn answer(outgoing: &Outgoing) -> Incoming {
    let (status, pieces) = if outgoing.body.len() > MAX_BODY_BYTES {
        let message = "The echo provider reads bodies of at most 1 MiB.";
        (StatusCode::PAYLOAD_TOO_LARGE, refusal(message))
    } else {
        let answered = match outgoing.operation {
            Operation::Chat => chat(outgoing),
            Operation::Embeddings => embeddings::answer(&outgoing.body).map(|body| Pieces::Whole(Some(body))),
        };
        let message = "The request has members that the echo provider cannot read.";
        answered.map_or_else(
            || (StatusCode::BAD_REQUEST, refusal(message)),
            |pieces| (StatusCode::OK, pieces),
        )
    };
    Incoming {
        status,
        headers: HeaderMap::new(),
        body: IncomingBody::Echo(pieces),
    }
}

fn refusal(message: &str) -> Pieces {
    let object = ErrorObject {
        message,
        r#type: "invalid_request_error",
        param: None,
        code: None,
    };
    Pieces::Whole(Some(object.to_body().into()))
}

fn chat(outgoing: &Outgoing) -> Option<Pieces> {
    let request: ChatRequest = serde_json::from_slice(&outgoing.body).ok()?;
    let include_usage = request
        .stream_options
        .as_ref()
        .is_some_and(|options| options.include_usage);
    let reply = Reply::to(request);
    if !outgoing.stream {
        return Some(Pieces::Whole(Some(reply.whole())));
    }
    Some(Pieces::Stream(Stream {
        reply,
        include_usage,
        position: 0,
        stage: Stage::Role,
    }))
}

impl Reply {
    fn to(request: ChatRequest) -> Self {
        let texts: Vec<_> = request.messages.iter().map(Message::text).collect();
        let prompt_tokens = texts.iter().map(|text| text.split_whitespace().count()).sum();
        let last = request
            .messages
            .iter()
            .rposition(|message| message.role == "user");
        let mut text = last.and_then(|last| texts.get(last)).cloned().unwrap_or_default();

        let limit = request.max_completion_tokens.or(request.max_tokens);
        let words = text.split_whitespace().count();
        let is_cut = limit.is_some_and(|limit| limit < words);
        if let Some(limit) = limit.filter(|_| is_cut) {
            text = text.split_whitespace().take(limit).collect::<Vec<_>>().join(" ");
        }
        let completion_tokens = if is_cut { limit.unwrap_or(words) } else { words };
        Self {
            model: request.model,
            text,
            finish_reason: if is_cut { "length" } else { "stop" },
            usage: Usage {
                prompt_tokens,
                completion_tokens,
                total_tokens: prompt_tokens + completion_tokens,
            },
        }
    }

    fn whole(&self) -> Bytes {
        let body = json!({
            "id": ID,
            "object": "chat.completion",
            "created": 0,
            "model": self.model,
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": self.text, "refusal": null},
                "logprobs": null,
                "finish_reason": self.finish_reason,
            }],
            "usage": self.usage,
        });
        body.to_string().into()
    }

    fn event(&self, choices: &Value, usage: Option<Usage>) -> Bytes {
        let chunk = json!({
            "id": ID,
            "object": "chat.completion.chunk",
            "created": 0,
            "model": self.model,
            "choices": choices,
            "usage": usage,
        });
        format!("data: {chunk}\n\n").into()
    }
}

impl Message {
    fn text(&self) -> String {
        match &self.content {
            None => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => {
                let texts = parts.iter().filter_map(|part| part.text.as_deref());
                texts.collect::<Vec<_>>().join(" ")
            }
        }
    }
}

impl Pieces {
    /// The next piece of the answer.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::Whole(body) => body.take(),
            Self::Stream(stream) => stream.next(),
        }
    }
}

impl Stream {
    fn next(&mut self) -> Option<Bytes> {
        let choice = |delta: Value, finish_reason: Option<&str>| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason}]);
        loop {
            match self.stage {
                Stage::Role => {
                    self.stage = Stage::Words;
                    let delta = json!({"role": "assistant", "content": "", "refusal": null});
                    return Some(self.reply.event(&choice(delta, None), None));
                }
                Stage::Words => {
                    let rest = self.reply.text.get(self.position..).unwrap_or_default();
                    let Some(word) = rest.split_inclusive(char::is_whitespace).next() else {
                        self.stage = Stage::End;
                        continue;
                    };
                    self.position += word.len();
                    let delta = json!({"content": word});
                    return Some(self.reply.event(&choice(delta, None), None));
                }
                Stage::End => {
                    self.stage = if self.include_usage {
                        Stage::Usage
                    } else {
                        Stage::Done
                    };
                    let choices = choice(json!({}), Some(self.reply.finish_reason));
                    return Some(self.reply.event(&choices, None));
                }
                Stage::Usage => {
                    self.stage = Stage::Done;
                    return Some(self.reply.event(&json!([]), Some(self.reply.usage)));
                }
                Stage::Done => {
                    self.stage = Stage::Over;
                    return Some(Bytes::from_static(b"data: [DONE]\n\n"));
                }
                Stage::Over => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(operation: Operation, body: &Value) -> (StatusCode, Vec<String>) {
        let stream = body["stream"] == true;
        let outgoing = Outgoing {
            operation,
            body: body.to_string().into(),
            stream,
            headers: HeaderMap::new(),
        };
        let Incoming {
            status,
            body: IncomingBody::Echo(mut pieces),
            ..
        } = answer(&outgoing)
        else {
            panic!("not the echo provider");
        };
        let all = std::iter::from_fn(|| pieces.next());
        (
            status,
            all.map(|piece| String::from_utf8(piece.to_vec()).unwrap())
                .collect(),
        )
    }

    fn chat_body(members: &Value) -> Value {
        let mut body = json!({"model": "echo", "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "hello  big"}, {"type": "text", "text": "world"}]},
        ]});
        body.as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        body
    }

    #[test]
    fn the_last_user_message_comes_back() {
        let (status, pieces) = pieces(Operation::Chat, &chat_body(&json!({})));

        let answer: Value = serde_json::from_str(&pieces.concat()).unwrap();
        assert_eq!(status, 200);
        assert_eq!(answer["choices"][0]["message"]["content"], "hello  big world");
        assert_eq!(
            answer["usage"],
            json!({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8})
        );
    }

    #[test]
    fn a_stream_brings_the_same_text_word_by_word() {
        let body = chat_body(&json!({"stream": true, "stream_options": {"include_usage": true}}));

        let (_, pieces) = pieces(Operation::Chat, &body);

        let chunks: Vec<Value> = pieces
            .iter()
            .filter_map(|piece| serde_json::from_str(piece.strip_prefix("data: ")?.trim()).ok())
            .collect();
        let words: Vec<_> = chunks
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
            .collect();
        assert_eq!(words, ["", "hello ", " ", "big ", "world"]);
        assert_eq!(chunks.last().unwrap()["usage"]["completion_tokens"], 3);
        assert_eq!(pieces.last().unwrap(), "data: [DONE]\n\n");
    }

    #[test]
    fn the_length_is_limited() {
        let (_, pieces) = pieces(Operation::Chat, &chat_body(&json!({"max_tokens": 2})));

        let answer: Value = serde_json::from_str(&pieces.concat()).unwrap();
        assert_eq!(answer["choices"][0]["message"]["content"], "hello big");
        assert_eq!(answer["choices"][0]["finish_reason"], "length");
    }

    #[test]
    fn what_it_cannot_read_is_refused() {
        let (status, _) = pieces(Operation::Chat, &chat_body(&json!({"messages": [7]})));

        assert_eq!(status, 400);
    }
}
