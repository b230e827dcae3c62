//! A service in which everything can go wrong.

use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::{ErrorForbidden, ErrorInternalServerError, ErrorServiceUnavailable};
use actix_web::guard::fn_guard;
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Bytes};
use actix_web::{Error, HttpResponse, ResponseError};
use futures_util::stream;

pub(super) fn configure(app: &mut web::ServiceConfig) {
    app.app_data(web::PayloadConfig::new(1024))
        .route("/live", web::get().to(HttpResponse::Ok))
        .service(web::resource("/ok/{id}").route(web::get().to(|| async { "fine" })))
        .service(web::resource("/echo").route(web::post().to(|body: Bytes| async { body })))
        .route(
            "/error",
            web::get().to(|| async { Err::<&str, _>(ErrorInternalServerError("it broke")) }),
        )
        .service(
            web::resource("/refused/{status}")
                .wrap(from_fn(refuse))
                .route(web::get().to(|| async { "never" })),
        )
        .route("/panic", web::get().to(panic_at_once))
        .service(
            web::resource("/panic-in-guard")
                .guard(fn_guard(|_| panic!("in a guard")))
                .route(web::get().to(|| async { "never" })),
        )
        .route(
            "/panic-in-answer",
            web::get().to(|| async { Err::<&str, _>(Unanswerable) }),
        )
        .route(
            "/panic-in-text",
            web::get().to(|| async { Err::<&str, _>(Said(Saying::Panic)) }),
        )
        .route(
            "/text-without-end",
            web::get().to(|| async { Err::<&str, _>(Said(Saying::ForEver)) }),
        )
        .route("/caught", web::get().to(catch_it))
        .route(
            "/panic-in-body",
            web::get().to(|| async { streamed(Ending::Panic) }),
        )
        .route("/stream", web::get().to(|| async { streamed(Ending::Complete) }))
        .route("/endless", web::get().to(|| async { streamed(Ending::Never) }));
}

async fn panic_at_once() -> HttpResponse {
    panic!("at once")
}

/// A handler that takes care of its own panic.
async fn catch_it() -> &'static str {
    std::panic::catch_unwind(|| panic!("and caught")).map_or("caught", |()| "missed")
}

/// An error whose answer cannot be made.
#[derive(Debug)]
struct Unanswerable;

impl std::fmt::Display for Unanswerable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("unanswerable")
    }
}

impl ResponseError for Unanswerable {
    fn error_response(&self) -> HttpResponse {
        panic!("in an error's answer")
    }
}

/// An error that is answered without its text.
#[derive(Debug)]
struct Said(Saying);

#[derive(Debug, Clone, Copy)]
enum Saying {
    Panic,
    ForEver,
}

impl std::fmt::Display for Said {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Saying::Panic => panic!("in an error's text"),
            Saying::ForEver => {
                tracing::info!("Asked for its text");
                loop {
                    formatter.write_str("and on ")?;
                }
            }
        }
    }
}

impl ResponseError for Said {
    fn error_response(&self) -> HttpResponse {
        HttpResponse::InternalServerError().finish()
    }
}

/// An inner middleware that gives up with an `Err`, as authentication commonly does.
async fn refuse(request: ServiceRequest, _next: Next<impl MessageBody>) -> Result<ServiceResponse, Error> {
    Err(if request.path().ends_with("403") {
        ErrorForbidden("no")
    } else {
        ErrorServiceUnavailable("later")
    })
}

#[derive(Clone, Copy)]
enum Ending {
    Complete,
    Panic,
    Never,
}

fn streamed(ending: Ending) -> HttpResponse {
    let chunks = stream::unfold(0, move |sent| async move {
        match ending {
            Ending::Complete if sent == 3 => return None,
            Ending::Panic if sent == 2 => panic!("in the body"),
            Ending::Complete => {}
            // A pending body lets the connection send what it has.
            Ending::Panic | Ending::Never => actix_web::rt::time::sleep(Duration::from_millis(1)).await,
        }
        Some((Ok::<_, Error>(Bytes::from_static(b"chunk\n")), sent + 1))
    });
    HttpResponse::Ok().streaming(chunks)
}
