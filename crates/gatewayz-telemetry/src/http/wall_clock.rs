//! Wall-clock time from a monotonic reading, so that a request reads one clock instead of two.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

use gatewayz_logging::unix_nanos;

/// A step of the system's clock shows after this long.
const RESYNC: Duration = Duration::from_secs(1);

/// Nanoseconds since the Unix epoch at `now`.
pub(crate) fn wall_nanos(now: Instant) -> u64 {
    thread_local!(static SYNCED: Cell<Option<(Instant, u64)>> = const { Cell::new(None) });
    if let Some((at, nanos)) = SYNCED.get() {
        let since = now.saturating_duration_since(at);
        if since < RESYNC {
            return nanos.saturating_add(u64::from(since.subsec_nanos()));
        }
    }
    let nanos = unix_nanos(SystemTime::now());
    SYNCED.set(Some((now, nanos)));
    nanos
}
