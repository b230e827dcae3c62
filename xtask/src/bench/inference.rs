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

use std::path::Path;

use anyhow::{Result, ensure};

use super::Scale;
use super::peers::Peer;
use super::processor::{Cores, pin};
use crate::command::{command, succeeds};

/// Measures the gateway and the floor in turns; `false` when the gateway is above a limit or its signals do not agree.
///
/// # Errors
/// When something cannot be built, the machine has one core, or a run fails.
pub(crate) fn measure(root: &Path, target: &Path, scale: Scale) -> Result<bool> {
    build(root, target)?;
    let cores = Cores::choose()?;
    pin(cores.load)?;
    let mut passed = cost::measure(target, &cores, scale)?;
    passed &= latency::measure(target, scale)?;
    passed &= streams::measure(target, &cores)?;
    cores.release()?;
    passed &= counts::measure(target, scale)?;
    Ok(passed)
}

fn build(root: &Path, target: &Path) -> Result<()> {
    println!("\n.. build the service, the floor of inference and the provider");
    Peer::Service.build(root, target)?;
    for package in [proxy::FLOOR, proxy::PROVIDER] {
        let mut build = command(
            &root.join("xtask/bench-peers"),
            "cargo",
            &["build", "--release", "--package", package],
        );
        build.arg("--target-dir").arg(target.join("bench-peers"));
        ensure!(succeeds(&mut build)?, "build {package}");
    }
    Ok(())
}

/// What is said of a limit.
fn verdict(within: bool) -> &'static str {
    if within {
        "within the limit"
    } else {
        "ABOVE THE LIMIT"
    }
}
