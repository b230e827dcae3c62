//! `dev`: the service with local settings, rebuilt and restarted when its sources change.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::command::{command, succeeds};

/// How often sources, child and signals are looked at.
const TICK: Duration = Duration::from_millis(500);
/// Time the service gets to drain before a restart.
const DRAIN: Duration = Duration::from_secs(30);
const SOURCES: [&str; 5] = ["Cargo.lock", "Cargo.toml", "crates", "deploy/env", "services"];

/// Runs until SIGINT or SIGTERM, or until the service cannot be started at all.
///
/// # Errors
/// When cargo cannot be started or signals cannot be taken.
pub(crate) fn dev(root: &Path, arguments: &[String]) -> Result<bool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let terminated = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGINT, Arc::clone(&interrupted)).context("take SIGINT")?;
    signal_hook::flag::register(SIGTERM, Arc::clone(&terminated)).context("take SIGTERM")?;

    let mut built = newest_source(root);
    let mut service = if build(root)? {
        Some(start(root, arguments)?)
    } else {
        None
    };
    loop {
        thread::sleep(TICK);
        if interrupted.load(Ordering::Relaxed) || terminated.load(Ordering::Relaxed) {
            if let Some(mut service) = service {
                // The terminal sends SIGINT to the service too, and a second signal would cut its drain short.
                if terminated.load(Ordering::Relaxed) {
                    ask_to_stop(&service);
                }
                wait_or_kill(&mut service)?;
            }
            return Ok(true);
        }
        if let Some(child) = &mut service
            && let Some(status) = child.try_wait().context("look at the service")?
        {
            println!(".. the service ended ({status}); waiting for a change of its sources");
            service = None;
        }
        let newest = newest_source(root);
        if newest <= built {
            continue;
        }
        built = newest;
        println!(".. sources changed, building");
        if !build(root)? {
            println!(".. the build failed; what ran before still runs");
            continue;
        }
        if let Some(mut child) = service.take() {
            ask_to_stop(&child);
            wait_or_kill(&mut child)?;
        }
        service = Some(start(root, arguments)?);
    }
}

fn build(root: &Path) -> Result<bool> {
    succeeds(&mut command(
        root,
        "cargo",
        &["build", "--package", "gatewayz-api"],
    ))
}

/// `cargo run` replaces itself with the service, so that a signal to the child reaches it.
fn start(root: &Path, arguments: &[String]) -> Result<Child> {
    command(
        root,
        "cargo",
        &["run", "--quiet", "--package", "gatewayz-api", "--"],
    )
    .args(arguments)
    .env("ENVIRONMENT", "local")
    .spawn()
    .context("start the service")
}

fn ask_to_stop(service: &Child) {
    // An error means that the service has ended already.
    let _ = kill_process(Pid::from_child(service), Signal::TERM);
}

fn wait_or_kill(service: &mut Child) -> Result<()> {
    for _ in 0..DRAIN.as_millis() / TICK.as_millis() {
        if service.try_wait().context("wait for the service")?.is_some() {
            return Ok(());
        }
        thread::sleep(TICK);
    }
    println!(
        ".. the service did not stop within {} s; killing it",
        DRAIN.as_secs()
    );
    service.kill().context("kill the service")?;
    service.wait().context("wait for the service")?;
    Ok(())
}

/// When the youngest source was changed; a source that cannot be read counts as unchanged.
fn newest_source(root: &Path) -> SystemTime {
    SOURCES
        .iter()
        .map(|source| newest_under(&root.join(source)))
        .max()
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

fn newest_under(path: &Path) -> SystemTime {
    let own = fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .unwrap_or(SystemTime::UNIX_EPOCH);
    let Ok(entries) = fs::read_dir(path) else {
        return own;
    };
    entries
        .flatten()
        .map(|entry| newest_under(&entry.path()))
        .fold(own, SystemTime::max)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use super::newest_under;

    #[test]
    fn a_change_deep_inside_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("crates/a/src")).unwrap();
        let source = File::create(directory.path().join("crates/a/src/lib.rs")).unwrap();
        let later = SystemTime::now() + Duration::from_secs(60);

        source.set_modified(later).unwrap();

        assert_eq!(newest_under(directory.path()), later);
    }
}
