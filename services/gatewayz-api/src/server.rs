//! The server's life: bind, serve, drain, flush.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::rt::signal::unix::{Signal, SignalKind, signal};
use actix_web::{App, HttpServer, web};
use gatewayz_admin_auth::Guard;
use gatewayz_telemetry::ShutdownReport;

use crate::endpoints::inference::Inference;
use crate::limits::{self, Limits};
use crate::plane::{self, PlaneError};
use crate::settings::{ServerSettings, ShutdownSettings};
use crate::state::State;
use crate::{problem, reload, routes};

/// Longest pause between two requests of a connection; load balancers commonly keep theirs for 60 s.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// A client that does not finish its head in this time is turned away.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections each worker serves at a time.
const CONNECTIONS_MAX: usize = 1024;

/// Files that are open when every worker has all of its connections, each with a call at a provider.
#[must_use]
pub fn open_files_wanted(settings: &ServerSettings) -> u64 {
    let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let workers = settings.workers.map_or_else(cores, NonZeroUsize::get);
    (workers * CONNECTIONS_MAX * 2) as u64
}

/// actix takes no less than that; rounded up, because calls are told their end before it comes.
fn whole_seconds(drain: Duration) -> u64 {
    (drain.as_secs() + u64::from(drain.subsec_nanos() > 0)).max(1)
}

/// Why the service could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is taken, not ours, or needs rights.
    #[error("listen on {address}")]
    Listen {
        /// HOST and PORT.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The plane's metrics clash.
    #[error("measure the instrumentation plane")]
    Plane(#[from] PlaneError),
    /// The process may not watch signals.
    #[error("watch for SIGTERM, SIGINT and SIGHUP")]
    Signals(#[source] io::Error),
}

/// A server that is bound and serves as soon as it is polled.
pub struct Server {
    server: actix_web::dev::Server,
    address: SocketAddr,
    state: Arc<State>,
    guard: Guard,
    stops: Stops,
    hangups: Signal,
}

/// How the service ended.
#[derive(Debug)]
pub struct Ended {
    /// The signal that hurried it, after a first one had asked it to stop.
    pub hurried_by: Option<i32>,
    /// What telemetry left behind.
    pub telemetry: ShutdownReport,
}

impl Server {
    /// Binds the address of the settings. Must be called inside actix's system.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(state: Arc<State>, guard: Guard) -> Result<Self, BindError> {
        let settings = state.settings.server.clone();
        let plane = plane::middleware(state.plane_registry.clone())?;
        let (app_state, app_guard) = (Arc::clone(&state), guard.clone());
        let requests = state.telemetry.requests().with_problem_page(problem::panicked);
        let mut server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::from(Arc::clone(&app_state)))
                .app_data(web::Data::new(Inference::of_worker(&app_state)))
                .app_data(web::PayloadConfig::new(limits::BODY_MAX_BYTES))
                .configure(|config| routes::configure(config, &app_state.settings.server, &plane))
                .wrap(Limits)
                .wrap(app_guard.clone())
                .wrap(requests.clone())
        })
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .max_connections(CONNECTIONS_MAX)
        // A response in several small writes waits 40 ms for the client's acknowledgement otherwise.
        .tcp_nodelay(true)
        // Only the kernel sees a client that stops reading: actix asks for no more of an answer while it cannot write.
        .on_connect(move |connection, _| give_up_after(connection, settings.client_stall_timeout))
        // A client that shuts down its side is gone; its handler must not go on.
        .h1_allow_half_closed(false)
        .shutdown_timeout(whole_seconds(state.settings.shutdown.drain))
        .disable_signals();
        if let Some(workers) = settings.workers {
            server = server.workers(workers.get());
        }
        let wanted = SocketAddr::new(settings.host, settings.port);
        let failed = |source| BindError::Listen {
            address: wanted,
            source,
        };
        let server = server.bind(wanted).map_err(failed)?;
        let address = server.addrs().first().copied().unwrap_or(wanted);
        state.set_bound_address(address);
        let stops = Stops::watch().map_err(BindError::Signals)?;
        // From here on: a SIGHUP that nobody watches for ends the process.
        let hangups = signal(SignalKind::hangup()).map_err(BindError::Signals)?;
        Ok(Self {
            server: server.run(),
            address,
            state,
            guard,
            stops,
            hangups,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until SIGTERM or SIGINT, then drains and flushes. A second signal hurries each step.
    ///
    /// # Errors
    /// When the server itself fails.
    pub async fn run_until_stopped(self) -> io::Result<Ended> {
        let Self {
            server,
            state,
            guard,
            mut stops,
            hangups,
            ..
        } = self;
        let shutdown = state.settings.shutdown;
        let background = Background::start(&state, guard, hangups);
        let handle = server.handle();
        let mut serving = actix_web::rt::spawn(server);
        let mut hurried_by = None;
        let served = tokio::select! {
            served = &mut serving => Some(served),
            signal = stops.next() => {
                tracing::info!(signal, "Stopping: /ready answers 503 from now on");
                state.drain();
                if let Some(gateway) = &state.gateway {
                    gateway.close_calls_at(Instant::now() + shutdown.prestop + shutdown.drain);
                }
                hurried_by = drain(&handle, &shutdown, &mut stops).await;
                None
            }
        };
        if served.is_none() && hurried_by.is_none() {
            // The handle's stop has returned, so the server's future is about to.
            let _ = serving.await;
        }
        drop(background);
        let flush = if hurried_by.is_some() {
            Duration::from_secs(1).min(shutdown.flush)
        } else {
            shutdown.flush
        };
        let telemetry = state.telemetry.clone();
        let flushed = web::block(move || telemetry.shutdown(Instant::now() + flush)).await;
        let telemetry = flushed.map_err(|_| io::Error::other("the flush was cancelled"))?;
        match served {
            Some(Ok(Err(error))) => Err(error),
            Some(Err(error)) => Err(io::Error::other(error)),
            Some(Ok(Ok(()))) | None => Ok(Ended {
                hurried_by,
                telemetry,
            }),
        }
    }
}

/// Closes a connection whose peer takes nothing, or acknowledges nothing, for so long (tcp(7), TCP_USER_TIMEOUT).
#[cfg(target_os = "linux")]
fn give_up_after(connection: &dyn Any, timeout: Duration) {
    let Some(stream) = connection.downcast_ref::<actix_web::rt::net::TcpStream>() else {
        return;
    };
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(timeout)) {
        tracing::warn!(%error, "A connection without CLIENT_STALL_TIMEOUT: the system refuses it");
    }
}

/// Other systems have no such limit.
#[cfg(not(target_os = "linux"))]
fn give_up_after(_connection: &dyn Any, _timeout: Duration) {}

/// What runs beside the requests: probes of providers, and SIGHUP. Ends when it is dropped.
struct Background(Vec<actix_web::rt::task::JoinHandle<()>>);

impl Background {
    fn start(state: &Arc<State>, guard: Guard, hangups: Signal) -> Self {
        let reload = reload::on_hangup(hangups, Arc::clone(state), guard);
        let mut tasks = vec![actix_web::rt::spawn(reload)];
        if let Some(gateway) = state.gateway.clone() {
            tasks.push(actix_web::rt::spawn(gateway.probe()));
        }
        Self(tasks)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// Serves while unready, then lets running requests finish; gives the signal that hurried it.
async fn drain(handle: &ServerHandle, shutdown: &ShutdownSettings, stops: &mut Stops) -> Option<i32> {
    tokio::select! {
        () = actix_web::rt::time::sleep(shutdown.prestop) => {}
        signal = stops.next() => {
            handle.stop(false).await;
            return Some(signal);
        }
    }
    tokio::select! {
        () = handle.stop(true) => None,
        // The server would finish its graceful stop before it obeys another; the process ends without it.
        signal = stops.next() => Some(signal),
    }
}

/// The signals that stop the service.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    fn watch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
        }
    }
}
