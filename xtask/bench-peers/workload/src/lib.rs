//! The route of workload W, and how a peer starts: the same in every peer.

use std::fmt::Display;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::{HttpResponse, web};
use anyhow::{Context, Result};
use serde::Serialize;

/// As the service keeps it, so that no connection of a slow run is closed.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a peer may take to deliver what is left at its end.
pub const FLUSH: Duration = Duration::from_secs(20);

#[derive(Serialize)]
struct User {
    id: u64,
    name: &'static str,
}

/// Adds `GET /api/users/{id}`.
pub fn configure(config: &mut web::ServiceConfig) {
    config.route("/api/users/{id}", web::get().to(user));
}

async fn user(id: web::Path<u64>) -> HttpResponse {
    HttpResponse::Ok().json(User {
        id: id.into_inner(),
        name: "John",
    })
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
