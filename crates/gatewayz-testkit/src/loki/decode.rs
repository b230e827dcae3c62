//! Reads the two forms of a push as Loki does; what cannot be read loses the whole request.

mod json;
mod labels;
mod protobuf;

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::{DeflateDecoder, GzDecoder};

pub(super) use labels::invalid_name;
pub(super) use protobuf::encoded_len;

use super::received::{Line, Pairs};
use crate::protobuf::each_message;
use crate::serve::{MAX_BODY_BYTES, Request};

/// Why Loki takes nothing of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) message: String,
}

/// A body after decompression.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) format: Format,
    pub(super) body: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Protobuf,
}

/// The lines of one stream of a push.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) labels: Pairs,
    pub(super) lines: Vec<Arc<Line>>,
}

impl Refusal {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }
}

/// Takes off `Content-Encoding` and, from protobuf, snappy; the body itself may have `max_body_bytes`.
pub(super) fn decompress(request: &Request, max_body_bytes: usize) -> Result<Plain, Refusal> {
    let encoding = request.header("content-encoding").unwrap_or_default();
    if !["", "gzip", "deflate", "snappy"].contains(&encoding) {
        let message = format!("Content-Encoding \"{encoding}\" not supported");
        return Err(Refusal::malformed(message));
    }
    let media_type = request.header("content-type").unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if media_type.is_empty() {
        return Err(Refusal::malformed("mime: no media type"));
    }
    let format = match media_type.to_ascii_lowercase().as_str() {
        "application/json" => Format::Json,
        _ => Format::Protobuf,
    };
    if request.body.len() > max_body_bytes {
        return Err(too_large(request, format, encoding, max_body_bytes));
    }
    let body = match encoding {
        "gzip" => unpack(GzDecoder::new(&*request.body), "gzip: invalid header")?,
        "deflate" => unpack(DeflateDecoder::new(&*request.body), "flate: corrupt input")?,
        _ => request.body.clone(),
    };
    let body = match format {
        Format::Json => body,
        Format::Protobuf => unsnap(&body)?,
    };
    Ok(Plain { format, body })
}

/// The streams in the order of the body.
pub(super) fn streams(plain: &Plain) -> Result<Vec<Stream>, Refusal> {
    match plain.format {
        Format::Json => json::streams(&plain.body),
        Format::Protobuf => protobuf::streams(&plain.body),
    }
}

/// How many lines a body has, protobuf without decoding a line.
pub(super) fn count_lines(plain: &Plain) -> Result<usize, Refusal> {
    let mut count = 0;
    match plain.format {
        Format::Json => {
            for stream in json::streams(&plain.body)? {
                count += stream.lines.len();
            }
        }
        Format::Protobuf => each_message(plain.body.clone(), 1, &mut |stream| {
            each_message(stream, 2, &mut |_entry| {
                count += 1;
                Ok(())
            })
        })
        .map_err(|error| Refusal::malformed(error.to_string()))?,
    }
    Ok(count)
}

/// Only protobuf is told what is wrong; a JSON body is cut at the limit and then looks malformed.
fn too_large(request: &Request, format: Format, encoding: &str, limit: usize) -> Refusal {
    let size = request.body.len();
    match (format, encoding) {
        (Format::Protobuf, _) => Refusal::new(
            413,
            format!("request body too large: message size too large than max ({size} vs {limit})"),
        ),
        (Format::Json, "gzip") => Refusal::malformed("unexpected EOF"),
        (Format::Json, _) => Refusal::malformed("readStringSlowPath: unexpected end of input"),
    }
}

fn unpack(packed: impl Read, message: &str) -> Result<Bytes, Refusal> {
    let mut plain = Vec::new();
    let limit = MAX_BODY_BYTES as u64 + 1;
    match packed.take(limit).read_to_end(&mut plain) {
        Err(_) => Err(Refusal::malformed(message)),
        Ok(_) if plain.len() > MAX_BODY_BYTES => Err(above_any_limit()),
        Ok(_) => Ok(plain.into()),
    }
}

fn above_any_limit() -> Refusal {
    Refusal::new(413, "request body too large")
}

fn unsnap(body: &[u8]) -> Result<Bytes, Refusal> {
    let corrupt = || Refusal::malformed("snappy: corrupt input");
    let length = snap::raw::decompress_len(body).map_err(|_| corrupt())?;
    if length > MAX_BODY_BYTES {
        return Err(above_any_limit());
    }
    let plain = snap::raw::Decoder::new().decompress_vec(body);
    Ok(plain.map_err(|_| corrupt())?.into())
}
