//! OTLP/HTTP with protobuf bodies.

use std::io::Write;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use gatewayz_delivery::{Attempt, Failure};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use secrecy::ExposeSecret;
use tokio::time::{Instant, timeout_at};

use super::request::{Parts, accepted};
use super::{BuildError, OtlpSettings};

/// Longest answer that is read, in bytes; the specification allows 4 MiB, an answer needs none of it.
const ANSWER_MAX_BYTES: usize = 64 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Exporter {
    client: Client,
    endpoint: Url,
    gzip: bool,
}

impl Exporter {
    pub(super) fn new(settings: &OtlpSettings) -> Result<Self, BuildError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let refused = || BuildError::Header { name: name.clone() };
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
            let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| refused())?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if settings.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let client = Client::builder()
            .default_headers(headers)
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(BuildError::Client)?;
        Ok(Self {
            client,
            endpoint: settings.endpoint.clone(),
            gzip: settings.gzip,
        })
    }

    pub(super) async fn export(&mut self, body: Parts, deadline: Instant) -> Attempt {
        let body = if self.gzip { compress(&body) } else { joined(&body) };
        match timeout_at(deadline, self.post(body)).await {
            Ok(Ok(attempt)) => attempt,
            Ok(Err(error)) => {
                let status = if error.is_connect() {
                    "connect"
                } else {
                    "transport"
                };
                Attempt::Retry {
                    after: None,
                    failure: Failure::new(status, &root_cause(&error)),
                }
            }
            Err(_) => Attempt::Retry {
                after: None,
                failure: Failure::new("timeout", "no answer within the time limit"),
            },
        }
    }

    async fn post(&self, body: Bytes) -> Result<Attempt, reqwest::Error> {
        let response = self.client.post(self.endpoint.clone()).body(body).send().await?;
        let status = response.status().as_u16();
        let after = retry_after(response.headers());
        let answer = read_bounded(response).await?;
        if (200..300).contains(&status) {
            return Ok(accepted(&answer));
        }
        // The answer may echo what was sent, so only the status is told.
        let failure = Failure::new(status.to_string(), &format!("the receiver answered {status}"));
        Ok(match status {
            // The OTLP specification's table (section OTLP/HTTP response, Failures).
            429 | 502 | 503 | 504 => Attempt::Retry { after, failure },
            413 => Attempt::TooLarge(failure),
            401 | 403 => Attempt::Rejected(failure.unauthorized()),
            _ => Attempt::Rejected(failure),
        })
    }
}

async fn read_bounded(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut answer = Vec::new();
    while answer.len() < ANSWER_MAX_BYTES
        && let Some(part) = response.chunk().await?
    {
        let room = ANSWER_MAX_BYTES - answer.len();
        answer.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
    }
    Ok(answer)
}

/// Seconds or an HTTP date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(text)
        .ok()?
        .duration_since(SystemTime::now())
        .ok()
}

fn joined(body: &Parts) -> Bytes {
    let mut bytes = Vec::with_capacity(body.len());
    for part in body.iter() {
        bytes.extend_from_slice(part);
    }
    bytes.into()
}

fn compress(body: &Parts) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    for part in body.iter() {
        // Writing into memory cannot fail.
        let _ = encoder.write_all(part);
    }
    encoder.finish().unwrap_or_default().into()
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
