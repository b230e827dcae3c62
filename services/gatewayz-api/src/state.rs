//! What every handler may use, built once and shared by all workers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use gatewayz_config::Described;
use gatewayz_inference::{Gateway, Room};
use gatewayz_telemetry::Telemetry;
use prometheus::Registry;
use secrecy::SecretString;

use crate::settings::Settings;

/// Version of the service.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Shared by all handlers.
pub struct State {
    /// The checked settings of the start.
    pub settings: Settings,
    /// Every variable as it may be shown, with what a reload took over.
    pub described: ArcSwap<Vec<Described>>,
    /// The three signals.
    pub telemetry: Telemetry,
    /// Answers `/v1`; `None` without a catalog.
    pub gateway: Option<Gateway>,
    /// For the bodies of calls.
    pub body_room: Arc<Room>,
    /// What actix-web-prom records of the instrumentation plane.
    pub plane_registry: Registry,
    /// Key of `/metrics`; `None` leaves the page open.
    pub metrics_token: ArcSwapOption<SecretString>,
    draining: AtomicBool,
    bound_address: OnceLock<SocketAddr>,
}

impl State {
    /// The state of a service that is ready.
    #[must_use]
    pub fn new(
        settings: Settings,
        described: Vec<Described>,
        telemetry: Telemetry,
        gateway: Option<Gateway>,
        plane_registry: Registry,
    ) -> Self {
        let metrics_token = settings.metrics.token.clone().map(Arc::new);
        let body_room = Room::of(settings.inference.bodies_max_bytes);
        Self {
            body_room,
            settings,
            described: ArcSwap::from_pointee(described),
            telemetry,
            gateway,
            plane_registry,
            metrics_token: ArcSwapOption::new(metrics_token),
            draining: AtomicBool::new(false),
            bound_address: OnceLock::new(),
        }
    }

    /// The address the service listens on, once it is bound.
    #[must_use]
    pub fn bound_address(&self) -> Option<SocketAddr> {
        self.bound_address.get().copied()
    }

    /// Tells where the service listens; only the first call counts.
    pub(crate) fn set_bound_address(&self, address: SocketAddr) {
        let _ = self.bound_address.set(address);
    }

    /// Turns `/ready` to 503 for the rest of the process's life.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the service is about to stop.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

/// The present time in RFC 3339 with milliseconds, UTC.
#[must_use]
pub fn timestamp() -> String {
    timestamp_of(SystemTime::now())
}

/// A time in RFC 3339 with milliseconds, UTC.
#[must_use]
pub fn timestamp_of(time: SystemTime) -> String {
    let mut text = Vec::with_capacity(24);
    gatewayz_logging::write_timestamp(gatewayz_logging::unix_nanos(time), &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// A duration in milliseconds with three digits, as on a log line.
#[must_use]
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}
