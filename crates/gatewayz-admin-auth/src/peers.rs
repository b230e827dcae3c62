//! What is remembered about peers whose calls failed: how fast, and how many lines they have caused.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Peers remembered at the same time; above it the one whose last failure is oldest is forgotten.
const MAX_PEERS: usize = 10_000;
/// Wrong keys that a peer may present at once.
const BURST: u32 = 20;
/// Time in which a peer earns one more wrong key.
const REFILL: Duration = Duration::from_secs(1);
/// Audit lines of one peer's failures in one [`LINE_WINDOW`].
const MAX_LINES: u32 = 10;
const LINE_WINDOW: Duration = Duration::from_secs(60);

/// One source of calls: an IPv4 address, or an IPv6 /64 (what one subscriber has to choose from).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Peer {
    V4([u8; 4]),
    V6([u16; 4]),
    /// A connection without an address, such as a Unix socket: all of them together.
    Unknown,
}

impl Peer {
    pub(crate) fn new(address: Option<IpAddr>) -> Self {
        // On a dual-stack socket every IPv4 client is in the one /64 of ::ffff:0:0/96.
        match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(address)) => Self::V4(address.octets()),
            Some(IpAddr::V6(address)) => {
                let [first, second, third, fourth, ..] = address.segments();
                Self::V6([first, second, third, fourth])
            }
            None => Self::Unknown,
        }
    }
}

/// Whether a failure gets an audit line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// Yes; and so many failures of the peer before this one got none.
    Write {
        suppressed: u64,
    },
    Suppress,
}

#[derive(Debug, Default)]
pub(crate) struct Peers {
    records: HashMap<Peer, Record>,
    /// From the oldest to the latest failure.
    order: BTreeMap<u64, Peer>,
    failures: u64,
}

#[derive(Debug)]
struct Record {
    latest: u64,
    /// When the peer will have its whole burst again (GCRA): the only state that a token bucket needs.
    full_at: Instant,
    window_start: Instant,
    lines: u32,
    suppressed: u64,
}

impl Peers {
    /// Counts a presented wrong key; `Err` holds the time until the peer may present the next one.
    pub(crate) fn record_wrong_key(&mut self, peer: Peer, now: Instant) -> Result<(), Duration> {
        let record = self.touch(peer, now);
        let missing = record.full_at.saturating_duration_since(now);
        let allowed = REFILL * (BURST - 1);
        if missing > allowed {
            return Err(missing - allowed);
        }
        record.full_at = now + missing + REFILL;
        Ok(())
    }

    /// Counts a failure of any kind towards the peer's audit lines.
    pub(crate) fn record_failure(&mut self, peer: Peer, now: Instant) -> Line {
        let record = self.touch(peer, now);
        if now.saturating_duration_since(record.window_start) >= LINE_WINDOW {
            record.window_start = now;
            record.lines = 0;
        }
        if record.lines == MAX_LINES {
            record.suppressed += 1;
            return Line::Suppress;
        }
        record.lines += 1;
        Line::Write {
            suppressed: std::mem::take(&mut record.suppressed),
        }
    }

    fn touch(&mut self, peer: Peer, now: Instant) -> &mut Record {
        self.failures += 1;
        let latest = self.failures;
        if let Some(known) = self.records.get(&peer) {
            self.order.remove(&known.latest);
        } else if self.records.len() >= MAX_PEERS
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.records.remove(&oldest);
        }
        self.order.insert(latest, peer);

        let record = self.records.entry(peer).or_insert(Record {
            latest,
            full_at: now,
            window_start: now,
            lines: 0,
            suppressed: 0,
        });
        record.latest = latest;
        record
    }
}

#[cfg(test)]
mod tests;
