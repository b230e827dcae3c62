//! Which core a process runs on, and how much CPU time it used.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::server::Server;

/// The two cores of a measurement. While this lives, this thread and what it starts are on that of the load.
#[derive(Debug)]
pub(crate) struct Cores {
    all: CpuSet,
    /// That of the measured process.
    pub(crate) server: usize,
    /// That of everything else.
    pub(crate) load: usize,
}

impl Cores {
    /// Takes the first two that this process may use.
    ///
    /// # Errors
    /// When there is one only.
    pub(crate) fn take() -> Result<Self> {
        let all = sched_getaffinity(None).context("read the cores of this process")?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core));
        let (load, server) = (usable.next(), usable.next());
        ensure!(
            load.is_some() && server.is_some(),
            "measure CPU time: two cores are needed"
        );
        let cores = Self {
            all,
            load: load.unwrap_or_default(),
            server: server.unwrap_or_default(),
        };
        pin(cores.load)?;
        Ok(cores)
    }

    /// Starts a server on its core.
    ///
    /// # Errors
    /// When it does not start there.
    pub(crate) fn start(&self, command: &mut Command) -> Result<Server> {
        Server::start_on(self.server, command)
    }

    /// The same, its output read whenever a load with a schedule leaves time.
    ///
    /// # Errors
    /// When it does not start there.
    pub(crate) fn start_behind(&self, command: &mut Command) -> Result<Server> {
        Server::start_on_behind(self.server, command)
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        // What the system gave before it does not refuse now.
        let _ = sched_setaffinity(None, &self.all);
    }
}

/// Keeps this thread, and what it starts from now on, on one core.
///
/// # Errors
/// When the system refuses.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).with_context(|| format!("move to core {core}"))
}

/// CPU time the process has used so far, user and system, over its living threads.
///
/// # Errors
/// When `/proc` does not show it.
pub(crate) fn used(process: u32) -> Result<Duration> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).context("list the threads of the server")?;
    let mut nanos = 0;
    for task in tasks.flatten() {
        // A thread that has just ended is not missed.
        let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else {
            continue;
        };
        let on_cpu = text.split(' ').next().unwrap_or_default();
        nanos += on_cpu.parse::<u64>().context("read the CPU time of a thread")?;
    }
    Ok(Duration::from_nanos(nanos))
}
