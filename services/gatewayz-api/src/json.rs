//! A body in JSON, within bounds of size and time.

use std::future::pending;
use std::time::Duration;

use actix_web::dev::{JsonBody, Payload};
use actix_web::error::{JsonPayloadError, PayloadError};
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpRequest};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::limits::{BODY_TIMEOUT, too_large};
use crate::problem::Problem;

/// Longest body in JSON.
pub const JSON_MAX_BYTES: usize = 4 * 1024;

/// The body of a request, read as JSON.
///
/// # Errors
/// [`Problem`]: 400 for another form, 408 when it does not come in time, 413 above [`JSON_MAX_BYTES`], 415 for another
/// content type.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = JsonBody::new(request, payload, None, true).limit(JSON_MAX_BYTES);
        async { read(body, BODY_TIMEOUT).await.map(Self) }.boxed_local()
    }
}

async fn read<T: DeserializeOwned>(body: JsonBody<T>, limit: Duration) -> Result<T, Problem> {
    let error = match timeout(limit, body).await {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error,
        Err(_) => {
            return Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "The body of the request did not come in time.",
            ));
        }
    };
    match error {
        // The client is gone: the server drops this request as soon as it has seen that.
        JsonPayloadError::Payload(PayloadError::Incomplete(_)) => pending().await,
        JsonPayloadError::OverflowKnownLength { .. } | JsonPayloadError::Overflow { .. } => Err(too_large()),
        JsonPayloadError::ContentType => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Send the body as application/json.",
        )),
        _ => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "The body is not the JSON this endpoint takes; see /docs.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use futures_util::stream;
    use serde_json::Value;

    use super::*;

    #[actix_web::test]
    async fn a_body_that_never_ends_is_waited_for_no_longer_than_its_limit() {
        let request = TestRequest::default()
            .insert_header(("content-type", "application/json"))
            .to_http_request();
        let mut payload: Payload = Payload::Stream {
            payload: Box::pin(stream::pending()),
        };
        let body = JsonBody::<Value>::new(&request, &mut payload, None, true);

        let answered = read(body, Duration::from_millis(1)).await;

        assert_eq!(answered.unwrap_err().status, StatusCode::REQUEST_TIMEOUT);
    }
}
