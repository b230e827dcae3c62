//! Wall-clock time from a monotonic reading, so that a span reads one clock instead of two.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A step of the system's clock shows after this long.
const RESYNC: Duration = Duration::from_secs(1);

/// Nanoseconds since the Unix epoch at `now`; 0 for a clock before it.
///
/// A step of the system's clock shows within a second.
#[must_use]
pub fn wall_nanos(now: Instant) -> u64 {
    thread_local!(static SYNCED: Cell<Option<(Instant, u64)>> = const { Cell::new(None) });
    if let Some((at, nanos)) = SYNCED.get() {
        let since = now.saturating_duration_since(at);
        if since < RESYNC {
            return nanos.saturating_add(u64::from(since.subsec_nanos()));
        }
    }
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanos = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
    SYNCED.set(Some((now, nanos)));
    nanos
}
