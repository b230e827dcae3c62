//! What Loki keeps of a push that it can read, and what it answers, by its default limits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::decode::{Refusal, Stream, encoded_len, invalid_name};
use super::received::{Line, Pairs};

/// Limits of a Loki; the default are its own, without the rate of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest body as sent: 413 above it for protobuf, 400 for JSON. At most 64 MiB.
    pub max_body_bytes: usize,
    /// Largest push after decompression, in bytes: 500 above it, every time.
    pub max_decoded_bytes: usize,
    /// Longest line, in bytes.
    pub max_line_bytes: usize,
    /// Most labels of a stream.
    pub max_labels: usize,
    /// Longest name of a label, in bytes.
    pub max_label_name_bytes: usize,
    /// Longest value of a label, in bytes.
    pub max_label_value_bytes: usize,
    /// Most entries of structured metadata of a line.
    pub max_metadata: usize,
    /// Most bytes of structured metadata of a line, names and values.
    pub max_metadata_bytes: usize,
    /// How old a line may be.
    pub max_age: Duration,
    /// How far in the future a line may be.
    pub max_ahead: Duration,
    /// How far a line may be behind the newest of its stream.
    pub max_behind: Duration,
    /// 429 without `Retry-After` above it; `None` for no rate.
    pub rate: Option<Rate>,
}

/// What a tenant may send; Loki's default are 4 MB a second and 6 MB at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Refill.
    pub bytes_per_second: u64,
    /// Most at once: a larger push is refused every time.
    pub burst_bytes: u64,
}

/// What Loki remembers between pushes.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Newest time of each stream.
    newest: HashMap<Pairs, u64>,
    /// Bytes taken from the rate and when that was last worked out.
    spent: Option<(f64, Instant)>,
}

/// Lines to keep, and the refusal that is answered all the same.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) kept: Vec<Arc<Line>>,
    pub(super) refusal: Option<Refusal>,
}

impl Default for Limits {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            max_body_bytes: 64 * 1024 * 1024,
            max_decoded_bytes: 4 * 1024 * 1024,
            max_line_bytes: 256 * 1024,
            max_labels: 15,
            max_label_name_bytes: 1024,
            max_label_value_bytes: 2048,
            max_metadata: 128,
            max_metadata_bytes: 64 * 1024,
            max_age: 7 * DAY,
            max_ahead: Duration::from_secs(10 * 60),
            max_behind: Duration::from_secs(60 * 60),
            rate: None,
        }
    }
}

impl Limits {
    /// What becomes of a push; nothing is kept when the refusal is an `Err`.
    pub(super) fn judge(&self, streams: &[Stream], memory: &mut Memory) -> Result<Judgement, Refusal> {
        if let Some(refusal) = streams.iter().find_map(|stream| invalid_name(&stream.labels)) {
            return Err(refusal);
        }
        if streams.is_empty() {
            return Err(Refusal::new(
                422,
                "error at least one valid stream is required for ingestion",
            ));
        }
        let mut errors = Vec::new();
        let valid = self.valid(streams, &mut errors);
        self.spend(&valid, memory)?;
        let decoded = encoded_len(valid.iter().map(|line| &**line));
        if decoded > self.max_decoded_bytes {
            return Err(Refusal::new(
                500,
                format!(
                    "rpc error: code = ResourceExhausted desc = grpc: received message larger than max \
                     ({decoded} vs. {})",
                    self.max_decoded_bytes
                ),
            ));
        }
        let kept = valid
            .into_iter()
            .filter(|line| self.is_in_order(line, memory, &mut errors))
            .collect();
        Ok(Judgement {
            kept,
            refusal: summary(errors),
        })
    }

    fn valid(&self, streams: &[Stream], errors: &mut Vec<String>) -> Vec<Arc<Line>> {
        let now = unix_nanos(SystemTime::now());
        let mut valid = Vec::new();
        for stream in streams {
            if let Err(error) = self.check_labels(&stream.labels) {
                errors.push(error);
                continue;
            }
            for line in &stream.lines {
                match self.check_line(line, now) {
                    Ok(()) => valid.push(stored(line)),
                    Err(error) => errors.push(error),
                }
            }
        }
        valid
    }

    fn check_labels(&self, labels: &Pairs) -> Result<(), String> {
        let stream = name(labels);
        if labels.len() > self.max_labels {
            return Err(format!(
                "entry for stream '{stream}' has {} label names; limit {}",
                labels.len(),
                self.max_labels
            ));
        }
        for (key, value) in labels {
            if key.len() > self.max_label_name_bytes {
                return Err(format!("stream '{stream}' has label name too long: '{key}'"));
            }
            if value.len() > self.max_label_value_bytes {
                return Err(format!("stream '{stream}' has label value too long: '{value}'"));
            }
        }
        Ok(())
    }

    fn check_line(&self, line: &Line, now: u64) -> Result<(), String> {
        let stream = name(&line.labels);
        let length = line.text.len();
        if line.unix_nanos < now.saturating_sub(nanos(self.max_age)) {
            return Err(format!("entry for stream '{stream}' has timestamp too old"));
        }
        if line.unix_nanos > now.saturating_add(nanos(self.max_ahead)) {
            return Err(format!("entry for stream '{stream}' has timestamp too new"));
        }
        if length > self.max_line_bytes {
            return Err(format!(
                "max entry size '{}' bytes exceeded for stream '{stream}' while adding an entry with length \
                 '{length}' bytes",
                self.max_line_bytes
            ));
        }
        if line.metadata.len() > self.max_metadata {
            return Err(format!(
                "stream '{stream}' has too many structured metadata labels: '{}', limit: '{}'",
                line.metadata.len(),
                self.max_metadata
            ));
        }
        let metadata_bytes: usize = line
            .metadata
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        if metadata_bytes > self.max_metadata_bytes {
            return Err(format!(
                "stream '{stream}' has structured metadata too large: '{metadata_bytes}' bytes, limit: '{}' bytes",
                self.max_metadata_bytes
            ));
        }
        Ok(())
    }

    /// A token bucket, full at first; what is refused takes nothing out of it.
    fn spend(&self, lines: &[Arc<Line>], memory: &mut Memory) -> Result<(), Refusal> {
        let Some(rate) = self.rate else {
            return Ok(());
        };
        let bytes: usize = lines.iter().map(|line| line.text.len()).sum();
        let now = Instant::now();
        let (spent, since) = memory.spent.unwrap_or((0.0, now));
        let refilled = (now - since).as_secs_f64() * rate.bytes_per_second as f64;
        let spent = (spent - refilled).max(0.0);
        let would_be = spent + bytes as f64;
        if would_be <= rate.burst_bytes as f64 {
            memory.spent = Some((would_be, now));
            return Ok(());
        }
        memory.spent = Some((spent, now));
        Err(Refusal::new(
            429,
            format!(
                "ingestion rate limit exceeded for user fake (limit: {} bytes/sec) while attempting to ingest \
                 '{}' lines totaling '{bytes}' bytes, reduce log volume or contact your Loki administrator",
                rate.bytes_per_second,
                lines.len()
            ),
        ))
    }

    fn is_in_order(&self, line: &Line, memory: &mut Memory, errors: &mut Vec<String>) -> bool {
        let Some(newest) = memory.newest.get_mut(&line.labels) else {
            memory.newest.insert(line.labels.clone(), line.unix_nanos);
            return true;
        };
        let oldest = newest.saturating_sub(nanos(self.max_behind));
        if line.unix_nanos < oldest {
            errors.push(format!(
                "entry with timestamp {} ignored, reason: 'entry too far behind, oldest acceptable timestamp is: \
                 {oldest}' for stream: {}",
                line.unix_nanos,
                name(&line.labels)
            ));
            return false;
        }
        *newest = line.unix_nanos.max(*newest);
        true
    }
}

/// The line as it is stored: a stream without labels gets one.
fn stored(line: &Arc<Line>) -> Arc<Line> {
    if !line.labels.is_empty() {
        return Arc::clone(line);
    }
    let unknown = ("service_name".to_owned(), "unknown_service".to_owned());
    Arc::new(Line {
        labels: Pairs::from([unknown]),
        ..Line::clone(line)
    })
}

fn summary(errors: Vec<String>) -> Option<Refusal> {
    let count = errors.len();
    let first = errors.into_iter().next()?;
    Some(Refusal::malformed(match count {
        1 => first,
        _ => format!("{count} errors like: {first}"),
    }))
}

fn name(labels: &Pairs) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

fn unix_nanos(time: SystemTime) -> u64 {
    nanos(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
