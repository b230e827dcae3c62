//! Storage of values and the handles that update it.
//!
//! A block holds some series of one family, once per shard; the page adds the shards up. A thread with a shard of its
//! own (see [`shard`](crate::shard)) is the only one to write there, so it needs no locked instruction.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam_utils::CachePadded;

use crate::exemplar::{Exemplar, ExemplarCell};
use crate::shard::{SHARED, own_or_shared};

const WORDS_PER_LINE: usize = 16;
const GAUGE_CHANGES: usize = 0;
const GAUGE_LEVEL: usize = 1;
const HISTOGRAM_SUM: usize = 0;
const HISTOGRAM_BUCKETS: usize = 1;

/// Words of a counter series.
pub(crate) const COUNTER_WORDS: usize = 1;
/// Words of a gauge series: the sum of changes, and the level as bits in the shared shard.
pub(crate) const GAUGE_WORDS: usize = 2;

/// Words of a histogram series: the sum, then one per bucket including `+Inf`.
pub(crate) const fn histogram_words(bounds: usize) -> usize {
    HISTOGRAM_BUCKETS + bounds + 1
}

/// Counts up. Cheap to clone and to update; resolve it once and keep it.
#[derive(Debug, Clone)]
pub struct Counter(pub(crate) Slot);

/// Goes up and down. Cheap to clone and to update; resolve it once and keep it.
#[derive(Debug, Clone)]
pub struct Gauge(pub(crate) Slot);

/// Counts observations by size. Cheap to clone and to update; resolve it once and keep it.
#[derive(Debug, Clone)]
pub struct Histogram(pub(crate) Slot);

impl Counter {
    /// Adds one unit; of a family with `steps_per_unit`, one step.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds native steps: nanoseconds for a family in seconds, units otherwise.
    pub fn add(&self, steps: u64) {
        self.0.block.add(own_or_shared(), self.0.index, 0, steps);
    }

    /// The steps counted so far.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.block.total(self.0.index, 0)
    }
}

impl Gauge {
    /// Sets the value, in the family's unit; the last of several threads wins.
    pub fn set(&self, value: f64) {
        let Slot { block, index } = &self.0;
        let level = value - signed(block.total(*index, GAUGE_CHANGES));
        if let Some(word) = block.word(SHARED, *index, GAUGE_LEVEL) {
            word.store(level.to_bits(), Ordering::Relaxed);
        }
    }

    /// Adds one.
    pub fn increment(&self) {
        self.0.block.add(own_or_shared(), self.0.index, GAUGE_CHANGES, 1);
    }

    /// Takes one away, from any thread.
    pub fn decrement(&self) {
        self.0
            .block
            .add(own_or_shared(), self.0.index, GAUGE_CHANGES, 1_u64.wrapping_neg());
    }

    /// The present value.
    #[must_use]
    pub fn value(&self) -> f64 {
        let Slot { block, index } = &self.0;
        gauge_value(&[
            block.total(*index, GAUGE_CHANGES),
            block.total(*index, GAUGE_LEVEL),
        ])
    }
}

impl Histogram {
    /// Counts one observation in native steps: nanoseconds, bytes, billionths of a ratio, or plain units.
    ///
    /// Pass an exemplar only for a sampled trace. It is kept for the bucket if the one there is older than
    /// 100 ms, and dropped when another thread is at it.
    pub fn observe(&self, steps: u64, exemplar: Option<Exemplar>) {
        let Slot { block, index } = &self.0;
        // Most observations fall into the first buckets, and there are few: a halving search takes longer.
        let found = block.bounds.iter().position(|bound| steps <= *bound);
        let bucket = found.unwrap_or(block.bounds.len());
        let shard = own_or_shared();
        block.add(shard, *index, HISTOGRAM_SUM, steps);
        block.add(shard, *index, HISTOGRAM_BUCKETS + bucket, 1);
        if let Some(exemplar) = exemplar
            && let Some(cell) = block.exemplars(*index).get(bucket)
        {
            cell.offer(exemplar, steps);
        }
    }

    /// Observations so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        let Slot { block, index } = &self.0;
        (HISTOGRAM_BUCKETS..block.words_per_series)
            .map(|word| block.total(*index, word))
            .sum()
    }

    /// Sum of the observed steps.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.0.block.total(self.0.index, HISTOGRAM_SUM)
    }
}

/// The value in the words read from a gauge.
pub(crate) fn gauge_value(words: &[u64]) -> f64 {
    let [changes, level] = [GAUGE_CHANGES, GAUGE_LEVEL].map(|word| words.get(word).copied().unwrap_or(0));
    f64::from_bits(level) + signed(changes)
}

/// The words of a gauge with this value.
pub(crate) fn gauge_words(value: f64) -> [u64; GAUGE_WORDS] {
    let mut words = [0; GAUGE_WORDS];
    words[GAUGE_LEVEL] = value.to_bits();
    words
}

/// Sum and bucket counts in the words read from a histogram.
pub(crate) fn histogram_value(words: &[u64]) -> (u64, &[u64]) {
    words
        .split_first()
        .map_or((0, &[]), |(sum, buckets)| (*sum, buckets))
}

fn signed(changes: u64) -> f64 {
    changes.cast_signed() as f64
}

/// One series in a block.
#[derive(Clone)]
pub(crate) struct Slot {
    block: Arc<Block>,
    index: usize,
}

impl Slot {
    pub(crate) fn new(block: Arc<Block>, index: usize) -> Self {
        Self { block, index }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.block.labels.get(self.index).and_then(OnceLock::get);
        formatter.debug_tuple("Slot").field(&labels).finish()
    }
}

/// Words of several series of one family, for every shard.
pub(crate) struct Block {
    lines: Box<[CachePadded<[AtomicU64; WORDS_PER_LINE]>]>,
    lines_per_shard: usize,
    shards: usize,
    words_per_series: usize,
    bounds: Arc<[u64]>,
    exemplars: Box<[ExemplarCell]>,
    labels: Box<[OnceLock<Arc<str>>]>,
}

impl Block {
    /// Room for `capacity` series of a histogram with these bounds, or of another kind without.
    pub(crate) fn new(
        capacity: usize,
        words_per_series: usize,
        shards: usize,
        bounds: Option<Arc<[u64]>>,
    ) -> Self {
        let lines_per_shard = (capacity * words_per_series).div_ceil(WORDS_PER_LINE);
        let exemplars = bounds.as_ref().map_or(0, |bounds| capacity * (bounds.len() + 1));
        Self {
            lines: (0..lines_per_shard * shards)
                .map(|_| CachePadded::default())
                .collect(),
            lines_per_shard,
            shards,
            words_per_series,
            bounds: bounds.unwrap_or_default(),
            exemplars: (0..exemplars).map(|_| ExemplarCell::default()).collect(),
            labels: (0..capacity).map(|_| OnceLock::new()).collect(),
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.labels.len()
    }

    /// Gives the place to a series. Places are taken in order.
    pub(crate) fn take(&self, index: usize, labels: Arc<str>) {
        if let Some(place) = self.labels.get(index) {
            // A place is given once, under the lock of its family.
            let _ = place.set(labels);
        }
    }

    /// The label sets of the series so far.
    pub(crate) fn label_sets(&self) -> impl Iterator<Item = &str> {
        self.labels.iter().map_while(OnceLock::get).map(AsRef::as_ref)
    }

    /// Appends the words of a series, added up over the shards.
    pub(crate) fn read(&self, index: usize, words: &mut Vec<u64>) {
        words.extend((0..self.words_per_series).map(|word| self.total(index, word)));
    }

    /// The exemplars of a series, one per bucket; none for other kinds.
    pub(crate) fn exemplars(&self, index: usize) -> &[ExemplarCell] {
        let buckets = self.bounds.len() + 1;
        self.exemplars
            .get(index * buckets..(index + 1) * buckets)
            .unwrap_or_default()
    }

    fn total(&self, index: usize, word: usize) -> u64 {
        (0..self.shards)
            .filter_map(|shard| self.word(shard, index, word))
            .fold(0, |total, word| total.wrapping_add(word.load(Ordering::Relaxed)))
    }

    fn add(&self, shard: usize, index: usize, word: usize, steps: u64) {
        let Some(word) = self.word(shard, index, word) else {
            return;
        };
        if shard == SHARED {
            word.fetch_add(steps, Ordering::Relaxed);
        } else {
            let value = word.load(Ordering::Relaxed);
            word.store(value.wrapping_add(steps), Ordering::Relaxed);
        }
    }

    fn word(&self, shard: usize, index: usize, word: usize) -> Option<&AtomicU64> {
        let word = index * self.words_per_series + word;
        let line = self
            .lines
            .get(shard * self.lines_per_shard + word / WORDS_PER_LINE)?;
        line.get(word % WORDS_PER_LINE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::{claim_shard, shard_count};

    fn slot(words: usize, bounds: Option<Arc<[u64]>>) -> Slot {
        Slot::new(Arc::new(Block::new(1, words, shard_count(), bounds)), 0)
    }

    #[test]
    fn updates_of_many_threads_add_up() {
        let counter = Counter(slot(COUNTER_WORDS, None));
        let gauge = Gauge(slot(GAUGE_WORDS, None));

        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (counter, gauge) = (&counter, &gauge);
                scope.spawn(move || {
                    if thread % 2 == 0 {
                        claim_shard();
                    }
                    for _ in 0..10_000 {
                        counter.add(3);
                        gauge.increment();
                        gauge.decrement();
                    }
                    gauge.decrement();
                });
            }
        });

        assert_eq!(counter.value(), 240_000);
        assert_eq!(gauge.value(), -8.0);
    }

    #[test]
    fn a_set_gauge_shows_what_was_set() {
        let gauge = Gauge(slot(GAUGE_WORDS, None));
        gauge.increment();

        gauge.set(0.25);
        assert_eq!(gauge.value(), 0.25);

        gauge.increment();
        assert_eq!(gauge.value(), 1.25);
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let bounds: Arc<[u64]> = [10, 20].into();
        let histogram = Histogram(slot(histogram_words(2), Some(bounds)));

        for steps in [0, 10, 11, 20, 21, u64::MAX] {
            histogram.observe(steps, None);
        }

        let mut words = Vec::new();
        histogram.0.block.read(0, &mut words);
        assert_eq!(histogram_value(&words).1, [2, 2, 2]);
        assert_eq!(histogram.count(), 6);
    }

    #[test]
    fn neighbours_in_a_block_do_not_touch_each_other() {
        let block = Arc::new(Block::new(5, histogram_words(16), 2, Some((1..=16).collect())));
        let histograms: Vec<_> = (0..5)
            .map(|index| Histogram(Slot::new(Arc::clone(&block), index)))
            .collect();

        for (times, histogram) in histograms.iter().enumerate() {
            (0..times).for_each(|_| histogram.observe(1_000, None));
        }

        let counts: Vec<_> = histograms.iter().map(Histogram::count).collect();
        assert_eq!(counts, [0, 1, 2, 3, 4]);
    }
}
