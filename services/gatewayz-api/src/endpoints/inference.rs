//! `/v1/*`: OpenAI's API over the models of the catalog.

use std::future::pending;
use std::sync::Arc;

use actix_web::error::PayloadError;
use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use actix_web::http::{ConnectionType, StatusCode, Version};
use actix_web::rt::time::timeout;
use actix_web::web::{Bytes, BytesMut, Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::StreamExt;
use gatewayz_inference::{
    Admitted, Answer, ApiKeys, Body, Call, Gateway, InferenceError, InferenceOutcome, Room, Taken,
};
use gatewayz_logging::Members;
use gatewayz_metrics::Exemplar;
use gatewayz_telemetry::{RequestFields, in_pieces};
use gatewayz_tracing::current_context;
use serde_json::{Value, json};

use crate::limits::{BODY_TIMEOUT, announced_length, leave_unread};
use crate::openai;
use crate::settings::BODY_COPIES;
use crate::state::State;

/// The model of the built-in catalog, for documents.
pub const EXAMPLE_MODEL: &str = "echo";

/// What one worker needs to answer calls.
pub struct Inference {
    /// With connections of this worker's own.
    gateway: Option<Gateway>,
    api_keys: Arc<ApiKeys>,
    open_without_keys: bool,
    body_max_bytes: usize,
    body_room: Arc<Room>,
}

impl Inference {
    /// For the worker on whose thread this runs.
    #[must_use]
    pub fn of_worker(state: &State) -> Self {
        let settings = &state.settings.inference;
        let own = |gateway: &Gateway| {
            gateway.with_own_connections().unwrap_or_else(|error| {
                tracing::error!(%error, "A worker shares the connections of the others");
                gateway.clone()
            })
        };
        Self {
            gateway: state.gateway.as_ref().map(own),
            api_keys: Arc::clone(&settings.api_keys),
            open_without_keys: settings.open_without_keys,
            body_max_bytes: settings.body_max_bytes,
            body_room: Arc::clone(&state.body_room),
        }
    }

    /// The gateway, for a caller who may use it.
    fn admit(&self, request: &HttpRequest) -> Result<(&Gateway, Option<Admitted>), InferenceError> {
        let gateway = self.gateway.as_ref().ok_or(InferenceError::NotConfigured)?;
        let admitted = if self.api_keys.is_empty() && self.open_without_keys {
            None
        } else {
            let mut given = request.headers().get_all(AUTHORIZATION);
            // Of two it would not be clear who calls.
            let key = given.next().filter(|_| given.next().is_none());
            Some(self.api_keys.admit(key.map(HeaderValue::as_bytes))?)
        };
        Ok((gateway, admitted))
    }

    /// The body, and the room it takes.
    async fn read(&self, request: &HttpRequest, payload: Payload) -> Result<(Bytes, Taken), HttpResponse> {
        let limit_bytes = self.body_max_bytes;
        let too_large = || {
            let mut refusal = respond(InferenceError::TooLarge { limit_bytes }.answer());
            leave_unread(&mut refusal);
            refusal
        };
        if announced_length(request.headers()).is_some_and(|length| length > limit_bytes as u64) {
            return Err(too_large());
        }
        let mut taken = self.body_room.enter(BODY_COPIES);
        match timeout(BODY_TIMEOUT, collected(payload, limit_bytes, &mut taken)).await {
            Ok(Ok(body)) => Ok((body, taken)),
            Ok(Err(Unread::Broken)) => Err(openai::error(
                StatusCode::BAD_REQUEST,
                "The body of the request broke off.",
            )),
            Ok(Err(Unread::TooLarge)) => Err(too_large()),
            Ok(Err(Unread::NoRoom)) => {
                let mut refusal = openai::error(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Too many long requests at once; try again.",
                );
                refusal
                    .headers_mut()
                    .insert(RETRY_AFTER, HeaderValue::from_static("1"));
                leave_unread(&mut refusal);
                Err(refusal)
            }
            Err(_) => Err(openai::error(
                StatusCode::REQUEST_TIMEOUT,
                "The body of the request did not come in time.",
            )),
        }
    }
}

/// Why a body was not read to its end.
enum Unread {
    Broken,
    TooLarge,
    NoRoom,
}

/// A body in memory of its own: its pieces are parts of the connection's buffer. Most come in one piece.
async fn collected(mut payload: Payload, limit_bytes: usize, taken: &mut Taken) -> Result<Bytes, Unread> {
    let mut body = BytesMut::new();
    while let Some(piece) = payload.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            // The client is gone: the server drops this call as soon as it has seen that.
            Err(PayloadError::Incomplete(_)) => pending().await,
            Err(_) => return Err(Unread::Broken),
        };
        if body.len() + piece.len() > limit_bytes {
            return Err(Unread::TooLarge);
        }
        if !taken.grow(body.len() + piece.len()) {
            return Err(Unread::NoRoom);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// `POST /v1/chat/completions`.
pub async fn chat(request: HttpRequest, payload: Payload, inference: Data<Inference>) -> HttpResponse {
    infer(&request, payload, &inference, Gateway::chat).await
}

/// `POST /v1/embeddings`.
pub async fn embeddings(request: HttpRequest, payload: Payload, inference: Data<Inference>) -> HttpResponse {
    infer(&request, payload, &inference, Gateway::embeddings).await
}

/// `GET /v1/models`.
pub async fn models(request: HttpRequest, inference: Data<Inference>) -> HttpResponse {
    match inference.admit(&request) {
        Ok((gateway, admitted)) => {
            name_caller(admitted.as_ref());
            limited(respond(gateway.models()), admitted.as_ref())
        }
        Err(error) => turn_away(&error),
    }
}

/// `GET /v1/models/{model}`.
pub async fn model(request: HttpRequest, id: Path<String>, inference: Data<Inference>) -> HttpResponse {
    model_of(&request, &id, &inference)
}

/// `GET /v1/models/{owner}/{model}`.
pub async fn model_of_owner(
    request: HttpRequest,
    id: Path<(String, String)>,
    inference: Data<Inference>,
) -> HttpResponse {
    let (owner, model) = id.into_inner();
    model_of(&request, &format!("{owner}/{model}"), &inference)
}

fn model_of(request: &HttpRequest, id: &str, inference: &Inference) -> HttpResponse {
    match inference.admit(request) {
        Ok((gateway, admitted)) => {
            name_caller(admitted.as_ref());
            let answer = gateway.model(id).unwrap_or_else(|error| error.answer());
            limited(respond(answer), admitted.as_ref())
        }
        Err(error) => turn_away(&error),
    }
}

async fn infer(
    request: &HttpRequest,
    payload: Payload,
    inference: &Inference,
    run: impl AsyncFnOnce(&Gateway, Bytes, Call) -> Result<Answer, InferenceError>,
) -> HttpResponse {
    // Whoever may not call does not get its body read.
    let (gateway, admitted) = match inference.admit(request) {
        Ok(admitted) => admitted,
        Err(error) => return turn_away(&error),
    };
    let (body, _taken) = match inference.read(request, payload).await {
        Ok(read) => read,
        Err(refusal) => {
            name_caller(admitted.as_ref());
            return limited(refusal, admitted.as_ref());
        }
    };
    let call = call(request, admitted.as_ref());
    let answer = run(gateway, body, call).await.unwrap_or_else(|error| {
        // A call that was routed has an outcome, which has named its caller already.
        name_caller(admitted.as_ref());
        error.answer()
    });
    let mut response = limited(respond(answer), admitted.as_ref());
    if request.version() < Version::HTTP_11 {
        // RFC 9112, 6.1: no Transfer-Encoding for a client that may not know it; the end of the connection is the end.
        response.head_mut().no_chunking(true);
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

/// Answers a caller who may not call, or not now.
fn turn_away(error: &InferenceError) -> HttpResponse {
    if let InferenceError::RateLimited { key, .. } = error {
        write_key(key);
    }
    respond(error.answer())
}

/// Puts the key's name on the line of a request that has no outcome of a call.
fn name_caller(admitted: Option<&Admitted>) {
    if let Some(admitted) = admitted {
        write_key(&admitted.name);
    }
}

fn write_key(name: &str) {
    if let Some(fields) = RequestFields::current() {
        fields.set(|members| members.text("api_key", name));
    }
}

fn call(request: &HttpRequest, admitted: Option<&Admitted>) -> Call {
    let context = current_context().filter(|context| context.flags.is_sampled());
    let mut call = Call::default();
    call.exemplar = context.map(|context| Exemplar {
        trace_id: context.trace_id.to_bytes(),
        span_id: Some(context.span_id.to_bytes()),
        timestamp_nanos: 0,
    });
    call.tenant = admitted.map(|admitted| Arc::clone(&admitted.name));
    if let Some(fields) = RequestFields::current() {
        let api_key = call.tenant.clone();
        call.observer = Some(Box::new(move |outcome: &InferenceOutcome| {
            fields.set(|members| describe(outcome, api_key.as_deref(), members));
        }));
    }
    for (name, value) in request.headers() {
        call.header(name.as_str(), value.as_bytes());
    }
    call
}

/// The call's fields on the line of its request. No prompt and no answer is in it.
fn describe(outcome: &InferenceOutcome, api_key: Option<&str>, members: &mut Members) {
    members.text("model", &outcome.model);
    members.text("provider", &outcome.provider);
    members.text("inference_status", outcome.status.as_str());
    if let Some(error) = outcome.error {
        members.text("inference_error", error);
    }
    members.integer("input_tokens", outcome.tokens.input);
    members.integer("cached_tokens", outcome.tokens.cached);
    members.integer("output_tokens", outcome.tokens.output);
    members.text("usage_source", outcome.usage_source.as_str());
    members.number("cost_usd", outcome.cost.usd());
    members.text("cache", outcome.cache.as_str());
    members.integer("attempts", u64::from(outcome.attempts));
    if let Some(time) = outcome.time_to_first_token {
        members.number("time_to_first_token_ms", time.as_secs_f64() * 1e3);
    }
    if let Some(reason) = outcome.finish_reason {
        members.text("finish_reason", reason);
    }
    if let Some(api_key) = api_key {
        members.text("api_key", api_key);
    }
}

fn respond(answer: Answer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut builder = HttpResponse::build(status);
    let mut response = match answer.body {
        Body::Bytes(body) => builder.body(in_pieces(body)),
        Body::Stream(events) => builder.streaming(events),
    };
    copy(&answer.headers, response.headers_mut());
    response
}

/// Tells the caller where its key stands.
fn limited(mut response: HttpResponse, admitted: Option<&Admitted>) -> HttpResponse {
    if let Some(limit) = admitted.and_then(|admitted| admitted.rate_limit) {
        let mut headers = http::HeaderMap::new();
        limit.write(&mut headers);
        copy(&headers, response.headers_mut());
    }
    response
}

/// actix-web has header types of its own.
fn copy(from: &http::HeaderMap, to: &mut HeaderMap) {
    for (name, value) in from {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            to.insert(name, value);
        }
    }
}

/// The part of a chat body that the gateway reads; everything else goes to the provider as it is.
#[must_use]
pub fn chat_schema() -> Value {
    json!({
        "type": "object",
        "required": ["model", "messages"],
        "properties": {
            "model": model_schema(),
            "messages": {
                "type": "array",
                "minItems": 1,
                "items": { "type": "object" },
                "examples": [[{ "role": "user", "content": "Hello" }]],
            },
            "stream": { "type": "boolean" },
            "stream_options": { "type": "object", "properties": { "include_usage": { "type": "boolean" } } },
        },
    })
}

fn model_schema() -> Value {
    json!({ "type": "string", "description": "An id of /v1/models.", "examples": [EXAMPLE_MODEL] })
}

/// The same for embeddings.
#[must_use]
pub fn embeddings_schema() -> Value {
    json!({
        "type": "object",
        "required": ["model", "input"],
        "properties": {
            "model": model_schema(),
            "input": {
                "oneOf": [{ "type": "string" }, { "type": "array", "minItems": 1 }],
                "examples": ["Hello"],
            },
        },
    })
}
