//! Encoded records: the chunk a producer fills and the batch a sink is given.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Shorter than an ordinary line or span.
const RECORD_BYTES: usize = 256;

/// Records encoded one after the other, with the end of each, so that a batch can be split and counted.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ends: Vec<u32>,
    pub(crate) opened: Instant,
    /// The shard that filled it, which gets it back.
    pub(crate) shard: usize,
}

impl Chunk {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            // Growing from nothing would copy them eight times in a full chunk.
            ends: Vec::with_capacity(bytes / RECORD_BYTES),
            opened: Instant::now(),
            shard: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Length of the whole records in it; bytes beyond belong to a record that was never finished.
    pub(crate) fn end(&self) -> usize {
        self.ends.last().map_or(0, |end| *end as usize)
    }

    fn whole_records(&self) -> &[u8] {
        self.bytes.get(..self.end()).unwrap_or_default()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn split_at_record(mut self, index: usize) -> (Self, Self) {
        let cut = if index == 0 {
            0
        } else {
            self.ends.get(index - 1).map_or(0, |end| *end as usize)
        };
        let bytes = self.bytes.split_off(cut.min(self.bytes.len()));
        let offset = u32::try_from(cut).unwrap_or(u32::MAX);
        let ends = self
            .ends
            .split_off(index.min(self.ends.len()))
            .iter()
            .map(|end| end - offset)
            .collect();
        let tail = Self {
            bytes,
            ends,
            opened: self.opened,
            shard: self.shard,
        };
        (self, tail)
    }
}

/// A contiguous run of a batch's records.
#[derive(Debug, Clone)]
pub struct SharedRun {
    batch: Arc<Batch>,
    index: usize,
}

impl AsRef<[u8]> for SharedRun {
    fn as_ref(&self) -> &[u8] {
        self.batch
            .chunks
            .get(self.index)
            .map_or(&[], Chunk::whole_records)
    }
}

/// What one request to a sink carries: whole records, oldest first.
#[derive(Debug)]
pub struct Batch {
    chunks: Vec<Chunk>,
    records: usize,
    bytes: usize,
}

impl Batch {
    /// Takes whole chunks until `max_bytes` would be passed, at least one; a chunk is cut only at `max_records`.
    pub(crate) fn take(backlog: &mut VecDeque<Chunk>, max_bytes: usize, max_records: usize) -> Option<Self> {
        let mut first = backlog.pop_front()?;
        if first.ends.len() > max_records {
            let (head, tail) = first.split_at_record(max_records.max(1));
            backlog.push_front(tail);
            first = head;
        }
        let mut batch = Self::of(vec![first]);
        while let Some(next) = backlog.front() {
            if batch.bytes + next.end() > max_bytes || batch.records + next.ends.len() > max_records {
                break;
            }
            let Some(chunk) = backlog.pop_front() else { break };
            batch.records += chunk.ends.len();
            batch.bytes += chunk.end();
            batch.chunks.push(chunk);
        }
        Some(batch)
    }

    fn of(chunks: Vec<Chunk>) -> Self {
        let records = chunks.iter().map(|chunk| chunk.ends.len()).sum();
        let bytes = chunks.iter().map(Chunk::end).sum();
        Self {
            chunks,
            records,
            bytes,
        }
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records
    }

    /// Whether it holds no record; the delivery thread never sends such a batch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Sum of the lengths of its records, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The records in contiguous runs: concatenated, they are all records in order.
    pub fn runs(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().map(Chunk::whole_records)
    }

    /// The same runs, each keeping the batch alive, for a sink that hands them on without copying.
    pub fn shared_runs(self: Arc<Self>) -> impl Iterator<Item = SharedRun> {
        (0..self.chunks.len()).map(move |index| SharedRun {
            batch: Arc::clone(&self),
            index,
        })
    }

    /// Each record by itself, in order.
    pub fn records(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().flat_map(|chunk| {
            let mut start = 0;
            chunk.ends.iter().map(move |end| {
                let record = chunk.bytes.get(start..*end as usize).unwrap_or_default();
                start = *end as usize;
                record
            })
        })
    }

    /// When the oldest record was queued, to the accuracy of a chunk.
    #[must_use]
    pub fn oldest(&self) -> Option<Instant> {
        self.chunks.iter().map(|chunk| chunk.opened).min()
    }

    /// Cuts the batch in half by records; `Err` gives a batch of one record back.
    pub(crate) fn split(self) -> Result<(Self, Self), Self> {
        if self.records < 2 {
            return Err(self);
        }
        let mut wanted = self.records / 2;
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        for chunk in self.chunks {
            if wanted >= chunk.ends.len() {
                wanted -= chunk.ends.len();
                head.push(chunk);
            } else if wanted == 0 {
                tail.push(chunk);
            } else {
                let (left, right) = chunk.split_at_record(wanted);
                wanted = 0;
                head.push(left);
                tail.push(right);
            }
        }
        Ok((Self::of(head), Self::of(tail)))
    }

    pub(crate) fn into_chunks(self) -> Vec<Chunk> {
        self.chunks
    }

    /// A batch of the given records, for a sink's own tests.
    #[must_use]
    pub fn from_records<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut chunk = Chunk::with_capacity(0);
        for record in records {
            chunk.bytes.extend_from_slice(record);
            chunk
                .ends
                .push(u32::try_from(chunk.bytes.len()).unwrap_or(u32::MAX));
        }
        Self::of(vec![chunk])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_keeps_every_record_whole_and_in_order() {
        let texts: Vec<String> = (0..9).map(|n| format!("record-{n}-{}", "x".repeat(n))).collect();
        let mut backlog: VecDeque<Chunk> = texts
            .chunks(4)
            .flat_map(|part| Batch::from_records(part.iter().map(String::as_bytes)).into_chunks())
            .collect();
        let batch = Batch::take(&mut backlog, usize::MAX, usize::MAX).unwrap();

        let (head, tail) = batch.split().unwrap();

        let all: Vec<&[u8]> = head.records().chain(tail.records()).collect();
        assert_eq!(all, texts.iter().map(String::as_bytes).collect::<Vec<_>>());
        assert_eq!((head.len(), tail.len()), (4, 5));
        assert_eq!(
            head.bytes() + tail.bytes(),
            texts.iter().map(String::len).sum::<usize>()
        );
    }

    #[test]
    fn a_batch_of_one_record_cannot_be_split() {
        assert!(Batch::from_records([b"only".as_slice()]).split().is_err());
    }
}
