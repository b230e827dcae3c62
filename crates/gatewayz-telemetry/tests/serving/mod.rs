//! A server with the request middleware, on a port of its own, and the lines it left.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use gatewayz_telemetry::{Telemetry, TelemetrySettings};

pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    handle: ServerHandle,
    thread: JoinHandle<()>,
}

impl Serving {
    /// Lets running requests finish.
    pub(crate) fn stop(self) {
        actix_web::rt::System::new().block_on(self.handle.stop(true));
        self.thread.join().unwrap();
    }
}

/// Serves what `configure` adds, on a port of its own.
pub(crate) fn serve(
    telemetry: &Telemetry,
    configure: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
) -> Serving {
    let (started, start) = mpsc::channel();
    let requests = telemetry.requests();
    let thread = std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async {
            let app = move || App::new().configure(&configure).wrap(requests.clone());
            let server = HttpServer::new(app)
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
    Serving {
        address,
        handle,
        thread,
    }
}

/// What a service writes to stdout.
pub(crate) struct Lines(File);

impl Lines {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempfile().unwrap())
    }

    /// Settings of a service that writes here and exports nothing.
    pub(crate) fn settings(&self, service: &str) -> TelemetrySettings {
        let mut settings = TelemetrySettings::new(service, "1.2.3", "local");
        settings.log.file = Some(Arc::new(self.0.try_clone().unwrap()));
        settings
    }

    pub(crate) fn read(mut self) -> String {
        let mut text = String::new();
        self.0.seek(SeekFrom::Start(0)).unwrap();
        self.0.read_to_string(&mut text).unwrap();
        text
    }
}

/// Each line of `text` as JSON.
pub(crate) fn parse(text: &str) -> Vec<serde_json::Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}
