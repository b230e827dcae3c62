//! How many files the process may have open: each connection is one, and so is each push and export.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as the process may, and returns it; `None` is no limit.
///
/// The usual soft limit of 1,024 exists for programs that call `select`; with it, idle connections alone would keep lines
/// and spans from leaving.
pub fn raise_limit() -> Option<u64> {
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
