//! The routes of workload W, and how a peer starts: the same in every peer.

use std::fmt::Display;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::{HttpResponse, web};
use anyhow::{Context, Result};
use serde::Serialize;
use tracing::{info, instrument};

/// As the service keeps it, so that no connection of a slow run is closed.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a peer may take to deliver what is left at its end.
pub const FLUSH: Duration = Duration::from_secs(20);

/// What a peer is asked for beside its address: `name=value` among its arguments.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Threads that answer: `workers=`, 1 when not given.
    pub workers: usize,
    /// Routes that answer: `routes=`, 1 when not given.
    pub routes: usize,
    /// Series in the registry beside those of the requests: `series=`, 0 when not given.
    pub series: usize,
    /// Whether the handler opens a span and writes an event: `nested=1`.
    pub nested: bool,
}

#[derive(Serialize)]
struct User {
    id: u64,
    name: &'static str,
}

impl Shape {
    /// Reads the arguments.
    ///
    /// # Errors
    /// When one of them is not a number.
    pub fn read() -> Result<Self> {
        Ok(Self {
            workers: option("workers", 1)?,
            routes: option("routes", 1)?,
            series: option("series", 0)?,
            nested: option("nested", 0)? > 0,
        })
    }

    /// Adds `GET /api/users/{id}`, and the same under `/r1`, `/r2` and so on for further routes.
    pub fn configure(self, config: &mut web::ServiceConfig) {
        let route = || match self.nested {
            true => web::get().to(nested_user),
            false => web::get().to(user),
        };
        config.route("/api/users/{id}", route());
        for index in 1..self.routes {
            config.route(&format!("/r{index}/api/users/{{id}}"), route());
        }
    }
}

async fn user(id: web::Path<u64>) -> HttpResponse {
    answer(id.into_inner())
}

async fn nested_user(id: web::Path<u64>) -> HttpResponse {
    find(id.into_inner()).await
}

#[instrument(skip_all, fields(user_id = id))]
async fn find(id: u64) -> HttpResponse {
    info!("User found");
    answer(id)
}

fn answer(id: u64) -> HttpResponse {
    HttpResponse::Ok().json(User { id, name: "John" })
}

/// Binds the address that is the peer's first argument, and says so on stderr.
///
/// # Errors
/// When there is no such argument, or it cannot be bound.
pub fn bind() -> Result<TcpListener> {
    let address: SocketAddr = argument(1, "address")?.parse().context("read the address")?;
    let listener = TcpListener::bind(address).context("bind the address")?;
    eprintln!(
        "http://{}",
        listener.local_addr().context("read the bound address")?
    );
    Ok(listener)
}

/// The peer's argument at `index`, called `name` when it is missing.
///
/// # Errors
/// When it is missing.
pub fn argument(index: usize, name: impl Display) -> Result<String> {
    std::env::args()
        .nth(index)
        .with_context(|| format!("read argument {index}: no {name}"))
}

fn option(name: &str, default: usize) -> Result<usize> {
    let given = std::env::args().find_map(|argument| {
        let (own, value) = argument.split_once('=')?;
        (own == name).then(|| value.to_owned())
    });
    given.map_or(Ok(default), |value| {
        value.parse().with_context(|| format!("read {name}={value}"))
    })
}
