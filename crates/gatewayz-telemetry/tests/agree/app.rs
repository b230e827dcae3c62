//! A service in which everything can go wrong, on a port of its own.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::error::{ErrorForbidden, ErrorInternalServerError, ErrorServiceUnavailable};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Bytes};
use actix_web::{App, Error, HttpResponse, HttpServer};
use futures_util::stream;
use gatewayz_telemetry::Telemetry;

pub(super) struct Running {
    pub(super) address: SocketAddr,
    handle: ServerHandle,
    thread: JoinHandle<()>,
}

impl Running {
    /// Lets running requests finish.
    pub(super) fn stop(self) {
        futures_executor(self.handle.stop(true));
        self.thread.join().unwrap();
    }
}

fn futures_executor(future: impl Future<Output = ()>) {
    actix_web::rt::System::new().block_on(future);
}

pub(super) fn start(telemetry: &Telemetry) -> Running {
    let requests = telemetry.requests();
    let (started, start) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async {
            let server = HttpServer::new(move || {
                App::new()
                    .app_data(web::PayloadConfig::new(1024))
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
                    .route(
                        "/panic-in-body",
                        web::get().to(|| async { streamed(Ending::Panic) }),
                    )
                    .route("/stream", web::get().to(|| async { streamed(Ending::Complete) }))
                    .route("/endless", web::get().to(|| async { streamed(Ending::Never) }))
                    .wrap(requests.clone())
            })
            .workers(2)
            .h1_allow_half_closed(false)
            .shutdown_timeout(10)
            .disable_signals()
            .bind(("127.0.0.1", 0))
            .unwrap();
            let address = server.addrs()[0];
            let server = server.run();
            started.send((address, server.handle())).unwrap();
            server.await.unwrap();
        });
    });
    let (address, handle) = start.recv_timeout(Duration::from_secs(10)).unwrap();
    Running {
        address,
        handle,
        thread,
    }
}

async fn panic_at_once() -> HttpResponse {
    panic!("at once")
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
