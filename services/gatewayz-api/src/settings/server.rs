//! Where the service listens, what it serves, how it stops.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::time::Duration;

use gatewayz_config::{Group, Kind, Reader, Setting};

use super::Environment;

pub(super) const GROUP: Group = Group {
    title: "Server",
    about: "",
    settings: &[
        Setting::new(
            "HOST",
            Kind::Text,
            "IP address to listen on, or `localhost`. `0.0.0.0` for every interface.",
        )
        .default_value("127.0.0.1"),
        Setting::new(
            "PORT",
            Kind::Integer { min: 0, max: 65_535 },
            "Port to listen on; 0 lets the system choose.",
        )
        .default_value("8000"),
        Setting::new(
            "WORKERS",
            Kind::Integer { min: 1, max: 1024 },
            "Worker threads that serve requests.",
        )
        .when_unset("one per available CPU"),
        Setting::new(
            "CLIENT_STALL_TIMEOUT",
            Kind::Duration {
                min: Duration::from_secs(1),
                max: Duration::from_secs(3600),
            },
            "How long a client may take nothing of an answer that waits for it, or be gone without a word. Its \
             connection is closed then, and what was done for it ends. On Linux only.",
        )
        .default_value("60"),
        Setting::new("DEMO_ROUTES", Kind::Flag, "Serve `GET /api/users/{id}`.")
            .when_unset("true, in production false"),
    ],
};

pub(super) const SHUTDOWN_GROUP: Group = Group {
    title: "Shutdown",
    about: "On SIGTERM the service turns unready, goes on serving for `SHUTDOWN_PRESTOP`, lets running requests \
            finish within `SHUTDOWN_DRAIN`, and delivers its telemetry within `SHUTDOWN_FLUSH`. Give it the sum \
            of the three and some seconds before it is killed.",
    settings: &[
        Setting::new(
            "SHUTDOWN_PRESTOP",
            SECONDS_UP_TO_FIVE_MINUTES,
            "How long to serve while unready, so that load balancers notice.",
        )
        .default_value("5"),
        Setting::new(
            "SHUTDOWN_DRAIN",
            Kind::Duration {
                min: Duration::ZERO,
                max: Duration::from_secs(3600),
            },
            "How long running requests may take to finish.",
        )
        .default_value("20"),
        Setting::new(
            "SHUTDOWN_FLUSH",
            SECONDS_UP_TO_FIVE_MINUTES,
            "How long queued log lines and spans may take to be delivered.",
        )
        .default_value("5"),
    ],
};

const SECONDS_UP_TO_FIVE_MINUTES: Kind = Kind::Duration {
    min: Duration::ZERO,
    max: Duration::from_secs(300),
};

/// Where the service listens and what it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 lets the system choose.
    pub port: u16,
    /// Worker threads; `None` for one per available CPU.
    pub workers: Option<NonZeroUsize>,
    /// How long a client may take nothing of its answer.
    pub client_stall_timeout: Duration,
    /// Serve the demo routes.
    pub demo_routes: bool,
}

/// How long each step of a shutdown may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownSettings {
    /// Serving while unready.
    pub prestop: Duration,
    /// Finishing running requests.
    pub drain: Duration,
    /// Delivering telemetry.
    pub flush: Duration,
}

impl ServerSettings {
    pub(super) fn read(reader: &mut Reader<'_>, environment: Environment) -> Self {
        let host = reader.text("HOST");
        let host = if host.eq_ignore_ascii_case("localhost") {
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        } else if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
            address
        } else {
            reader.mistake(
                "HOST",
                "is not an IP address; expected one such as 127.0.0.1, 0.0.0.0 or ::",
            );
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        };
        Self {
            host,
            // The schema bounds it.
            port: u16::try_from(reader.integer("PORT")).unwrap_or_default(),
            workers: reader.optional_size("WORKERS").and_then(NonZeroUsize::new),
            client_stall_timeout: reader.duration("CLIENT_STALL_TIMEOUT"),
            demo_routes: reader
                .optional_flag("DEMO_ROUTES")
                .unwrap_or(environment != Environment::Production),
        }
    }
}

impl ShutdownSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            prestop: reader.duration("SHUTDOWN_PRESTOP"),
            drain: reader.duration("SHUTDOWN_DRAIN"),
            flush: reader.duration("SHUTDOWN_FLUSH"),
        }
    }
}
