//! OTLP/HTTP with protobuf bodies.

use std::time::Instant;

use gatewayz_delivery::http::{Answer, HttpClient, Secrets, untraced_client};
use gatewayz_delivery::{Attempt, Failure};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use super::accepted::Answers;
use super::request::Parts;
use super::{BuildError, OtlpSettings, USER_AGENT};

#[derive(Debug)]
pub(super) struct Exporter {
    client: HttpClient,
    answers: Answers,
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
        let client = untraced_client(USER_AGENT).map_err(BuildError::Client)?;
        let request = client.post(settings.endpoint.clone()).headers(headers).build();
        let request = request.map_err(|error| BuildError::Client(error.without_url()))?;
        let answers = Answers::new(Secrets::of(request.headers()));
        Ok(Self {
            client: HttpClient::new(client, request).map_err(BuildError::Runtime)?,
            answers,
            gzip: settings.gzip,
        })
    }

    pub(super) fn export(&mut self, body: &Parts, deadline: Instant) -> Attempt {
        let body = if self.gzip {
            body.compressed()
        } else {
            body.joined()
        };
        match self.client.send(body, deadline) {
            Ok(answer) if answer.is_success() => self.answers.accepted(&answer.body),
            Ok(answer) => refused(&answer),
            Err(failure) => Attempt::Retry { after: None, failure },
        }
    }
}

/// The OTLP specification's table (section OTLP/HTTP response, Failures).
fn refused(answer: &Answer) -> Attempt {
    let status = answer.status;
    // The answer may echo what was sent, so only the status is told.
    let failure = Failure::new(status.to_string(), &format!("the receiver answered {status}"));
    match status {
        429 | 502 | 503 | 504 => Attempt::Retry {
            after: answer.retry_after,
            failure,
        },
        413 => Attempt::TooLarge(failure),
        401 | 403 => Attempt::Rejected(failure.unauthorized()),
        _ => Attempt::Rejected(failure),
    }
}
