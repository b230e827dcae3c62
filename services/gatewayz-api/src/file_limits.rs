//! The system's limits on files: how many are open, and how long one may be (getrlimit(2)).

use std::io;

use actix_web::rt::signal::unix::{SignalKind, signal};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

/// Raises the limit of open files as far as the process may, and returns it; `None` is no limit. Each connection is
/// one, and so is each push and export.
///
/// The usual soft limit of 1,024 exists for programs that call `select`; with it, idle connections alone would keep lines
/// and spans from leaving.
pub fn raise_open_files() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    }
}

/// From now on a line that would make a file too long is refused by the system and counted as lost; the signal that
/// comes with it would end the process. Must be called inside actix's system.
///
/// # Errors
/// When the process may not watch signals.
pub fn survive_longest_file() -> io::Result<()> {
    // What watches for it stays when this is dropped.
    let _watched = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
    Ok(())
}
