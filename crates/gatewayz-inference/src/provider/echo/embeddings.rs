//! Embeddings of the echo provider: unit vectors made from a hash, so equal inputs have equal vectors.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const DEFAULT_DIMENSIONS: usize = 32;
const MAX_DIMENSIONS: usize = 4_096;
const MAX_INPUTS: usize = 2_048;

#[derive(Deserialize)]
struct Request {
    model: String,
    input: Input,
    #[serde(default)]
    encoding_format: Option<String>,
    #[serde(default)]
    dimensions: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

/// The answer; `None` when the request is of another form.
pub(super) fn answer(body: &[u8]) -> Option<Bytes> {
    let request: Request = serde_json::from_slice(body).ok()?;
    let dimensions = request.dimensions.unwrap_or(DEFAULT_DIMENSIONS);
    let inputs = request.input.split();
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) || inputs.len() > MAX_INPUTS {
        return None;
    }
    let is_base64 = request.encoding_format.as_deref() == Some("base64");
    let data: Vec<_> = inputs
        .iter()
        .enumerate()
        .map(|(index, (bytes, _))| {
            let vector = vector(bytes, dimensions);
            let embedding = if is_base64 {
                let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                Value::from(STANDARD.encode(bytes))
            } else {
                Value::from(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let tokens: usize = inputs.iter().map(|(_, tokens)| tokens).sum();
    let body = json!({
        "object": "list",
        "data": data,
        "model": request.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    });
    Some(body.to_string().into())
}

impl Input {
    /// Bytes and number of tokens of each input.
    fn split(self) -> Vec<(Vec<u8>, usize)> {
        let text = |text: String| {
            let words = text.split_whitespace().count();
            (text.into_bytes(), words)
        };
        let tokens = |tokens: Vec<u32>| {
            let bytes = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
            (bytes, tokens.len())
        };
        match self {
            Self::Text(input) => vec![text(input)],
            Self::Texts(inputs) => inputs.into_iter().map(text).collect(),
            Self::Tokens(input) => vec![tokens(input)],
            Self::TokenLists(inputs) => inputs.into_iter().map(tokens).collect(),
        }
    }
}

fn vector(input: &[u8], dimensions: usize) -> Vec<f32> {
    let seed = Sha256::digest(input);
    let blocks = (0_u32..).map(|block| {
        Sha256::new()
            .chain_update(seed)
            .chain_update(block.to_le_bytes())
            .finalize()
    });
    let raw: Vec<f32> = blocks
        .flat_map(|block| block.to_vec())
        .take(dimensions)
        .map(|byte| f32::from(byte) - 127.5)
        .collect();
    let length = raw.iter().map(|number| number * number).sum::<f32>().sqrt();
    raw.iter().map(|number| number / length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embed(body: &Value) -> Value {
        serde_json::from_slice(&answer(body.to_string().as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn both_encodings_hold_the_same_vector() {
        let floats = embed(&json!({"model": "m", "input": "two words"}));
        let base64 = embed(&json!({"model": "m", "input": ["two words"], "encoding_format": "base64"}));

        let bytes = STANDARD
            .decode(base64["data"][0]["embedding"].as_str().unwrap())
            .unwrap();
        let decoded: Vec<f32> = bytes
            .chunks(4)
            .map(|four| f32::from_le_bytes(four.try_into().unwrap()))
            .collect();
        let given = floats["data"][0]["embedding"].as_array().unwrap();
        let given: Vec<f32> = given
            .iter()
            .map(|number| number.as_f64().unwrap() as f32)
            .collect();
        assert_eq!(decoded, given);
        assert_eq!(given.len(), 32);
        let length: f32 = given.iter().map(|number| number * number).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
        assert_eq!(floats["usage"], json!({"prompt_tokens": 2, "total_tokens": 2}));
    }

    #[test]
    fn every_form_of_input_is_taken() {
        for (input, vectors, tokens) in [
            (json!("a b"), 1, 2),
            (json!(["a", "b c"]), 2, 3),
            (json!([1, 2, 3]), 1, 3),
            (json!([[1], [2, 3]]), 2, 3),
        ] {
            let answer = embed(&json!({"model": "m", "input": input, "dimensions": 4}));
            assert_eq!(answer["data"].as_array().unwrap().len(), vectors);
            assert_eq!(answer["usage"]["total_tokens"], tokens);
        }
        assert!(answer(br#"{"model":"m","input":{"a":1}}"#).is_none());
    }

    #[test]
    fn different_inputs_have_different_vectors() {
        let answer = embed(&json!({"model": "m", "input": ["a", "b"]}));

        assert_ne!(answer["data"][0]["embedding"], answer["data"][1]["embedding"]);
    }
}
