//! The floor of an inference gateway: `inference-floor ADDRESS PROVIDER_URL`.

mod scan;

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, PayloadConfig, post};
use actix_web::{App, HttpResponse, HttpServer};
use anyhow::Context;
use futures_util::stream;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response};
use serde_json::Value;

use scan::Scan;

/// Longest body, as the service takes it.
const BODY_MAX_BYTES: usize = 32 * 1024 * 1024;

/// What a worker has of its own.
struct Provider {
    client: Client,
    url: reqwest::Url,
}

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let url: reqwest::Url = workload::argument(2, "URL of the provider")?
        .parse()
        .context("read the URL of the provider")?;
    HttpServer::new(move || {
        let client = Client::builder()
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .build();
        let provider = client.ok().map(|client| Provider {
            client,
            url: url.clone(),
        });
        App::new()
            .app_data(Data::new(provider))
            .app_data(PayloadConfig::new(BODY_MAX_BYTES))
            .route("/v1/chat/completions", post().to(chat))
    })
    .workers(1)
    .keep_alive(workload::KEEP_ALIVE)
    .tcp_nodelay(true)
    .h1_allow_half_closed(false)
    .listen(workload::bind()?)?
    .run()
    .await?;
    Ok(())
}

async fn chat(body: Bytes, provider: Data<Option<Provider>>) -> HttpResponse {
    let is_stream = match serde_json::from_slice::<Value>(&body) {
        Ok(request) if request.get("model").is_some_and(Value::is_string) => {
            request.get("stream") == Some(&Value::Bool(true))
        }
        Ok(_) | Err(_) => return HttpResponse::BadRequest().finish(),
    };
    let Some(provider) = provider.get_ref() else {
        return HttpResponse::InternalServerError().finish();
    };
    let request = provider
        .client
        .post(provider.url.clone())
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .body(body);
    let Ok(response) = request.send().await else {
        return HttpResponse::BadGateway().finish();
    };
    let status = StatusCode::from_u16(response.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut answer = HttpResponse::build(status);
    if let Some(kind) = response.headers().get(CONTENT_TYPE) {
        answer.insert_header((CONTENT_TYPE.as_str(), kind.as_bytes()));
    }
    if is_stream {
        return answer.streaming(events(response));
    }
    match response.bytes().await {
        Ok(body) => answer.body(body),
        Err(_) => HttpResponse::BadGateway().finish(),
    }
}

/// The body as it comes, with an eye on the usage in it.
fn events(response: Response) -> impl stream::Stream<Item = reqwest::Result<Bytes>> {
    stream::unfold(
        (response, Scan::default()),
        |(mut response, mut scan)| async move {
            let chunk = response.chunk().await.transpose()?;
            if let Ok(chunk) = &chunk {
                scan.take(chunk);
            }
            Some((chunk, (response, scan)))
        },
    )
}
