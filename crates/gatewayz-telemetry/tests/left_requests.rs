//! What a request says when its client leaves.

mod serving;

use std::sync::{Arc, Weak, mpsc};
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::web::{self, Bytes};
use futures_util::{StreamExt, stream};
use gatewayz_telemetry::Telemetry;
use gatewayz_testkit::http::Client;
use gatewayz_tracing::{ServerSpan, current_request};
use serving::{Lines, parse, serve};

/// What a handler has to say when its client leaves.
struct LastWords(&'static str);

impl Drop for LastWords {
    fn drop(&mut self) {
        tracing::info!("{}", self.0);
    }
}

/// A body that looks at its request when the request has ended.
struct Late(mpsc::Sender<Option<Weak<ServerSpan>>>);

impl Drop for Late {
    fn drop(&mut self) {
        let request = tracing::Span::current().is_none().then(current_request).flatten();
        let _ = self.0.send(request.map(|request| Arc::downgrade(&request)));
    }
}

#[test]
fn what_a_request_says_while_it_is_dropped_belongs_to_it_and_nothing_of_it_stays() {
    let lines = Lines::new();
    let telemetry = Telemetry::start(lines.settings("orders-api")).unwrap();
    let (waits, waiting) = mpsc::channel();
    let (looks, looked) = mpsc::channel();
    let server = serve(&telemetry, move |app| {
        let (waits, looks) = (waits.clone(), looks.clone());
        let wait = move || {
            waits.send(()).unwrap();
            async {
                let _words = LastWords("no answer any more");
                std::future::pending::<&str>().await
            }
        };
        let stream = || async {
            let words = LastWords("no body any more");
            let parts = stream::repeat_with(move || {
                let _ = &words;
                Ok::<_, actix_web::Error>(Bytes::from_static(b"part"))
            });
            HttpResponse::Ok().streaming(parts)
        };
        let end = move || {
            let late = Late(looks.clone());
            let parts = stream::repeat_with(move || {
                let _ = &late;
                Ok::<_, actix_web::Error>(Bytes::from_static(b"part"))
            });
            async { HttpResponse::Ok().streaming(parts.take(1)) }
        };
        app.route("/wait", web::get().to(wait))
            .route("/end", web::get().to(end))
            .route("/stream", web::get().to(stream));
    });

    let mut client = Client::connect(server.address).unwrap();
    client.send(b"GET /wait HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    waiting.recv().unwrap();
    client.reset().unwrap();
    let mut client = Client::connect(server.address).unwrap();
    client
        .send(b"GET /stream HTTP/1.1\r\nhost: test\r\n\r\n")
        .unwrap();
    client.read_head().unwrap();
    client.reset().unwrap();
    Client::connect(server.address).unwrap().get("/end", &[]).unwrap();
    let ended = looked.recv().unwrap().unwrap();
    server.stop();
    assert!(ended.upgrade().is_none(), "a request is kept after its end");
    let _report = telemetry.shutdown(Instant::now() + Duration::from_secs(10));

    let log = parse(&lines.read());
    let line = |is: &dyn Fn(&serde_json::Value) -> bool| log.iter().find(|line| is(line)).unwrap();
    for (route, words) in [("/wait", "no answer any more"), ("/stream", "no body any more")] {
        let said = line(&|line| line["message"] == words);
        let ended = line(&|line| line["target"] == "gatewayz::request" && line["route"] == route);
        assert_eq!(
            (&said["trace_id"], &said["route"], &ended["status_code"]),
            (&ended["trace_id"], &ended["route"], &499.into())
        );
    }
}
