//! The inference path: what a call costs beside a plain proxy of the same parts, how long it takes, and what open
//! streams hold.
//!
//! The provider is a process that answers at once and always the same; the client asks for usage, so that both proxies
//! pass the same bytes on.

mod ask;
mod cost;
mod counts;
mod latency;
mod proxy;
mod signals;
mod streams;

use anyhow::Result;

use super::Bench;
use super::cores::Cores;
use super::report::Reading;
pub(crate) use counts::measure as count;
use proxy::{FLOOR, PROVIDER};

/// What the measurements need of the peers' workspace.
pub(crate) const PACKAGES: [&str; 2] = [FLOOR, PROVIDER];

/// Measures the gateway and the floor in turns.
///
/// # Errors
/// When the machine has one core or a run fails.
pub(crate) fn measure(bench: &Bench<'_>) -> Result<Reading> {
    let cores = Cores::take()?;
    let mut reading = cost::measure(bench, &cores)?;
    reading.join(latency::measure(bench)?);
    reading.join(streams::measure(bench, &cores)?);
    Ok(reading)
}
