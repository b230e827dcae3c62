//! The series of one family: created on demand, never removed, bounded in number.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::cells::{Block, COUNTER_WORDS, GAUGE_WORDS, Slot, histogram_words};
use crate::family::{Family, Kind};
use crate::text::label_set;

/// Value of every label of the series that takes what exceeds a limit.
pub(crate) const OTHER: &str = "__other__";

/// Most series in one block.
const BLOCK_SERIES: usize = 512;
/// Words a first block should fill at least.
const FIRST_BLOCK_WORDS: usize = 16;

/// Why there is no handle for a series.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeriesError {
    /// The registry was built without this family, or with another one of the same name.
    #[error("find the metric {name} in the catalog of the registry")]
    UnknownFamily {
        /// The family.
        name: &'static str,
    },
    /// The family has another kind than the handle.
    #[error("use {name} as something else than a {}", .kind.as_str())]
    WrongKind {
        /// The family.
        name: &'static str,
        /// Its kind.
        kind: Kind,
    },
    /// Too few or too many label values.
    #[error("label {name}, which has {expected} labels, with {given} values")]
    LabelCount {
        /// The family.
        name: &'static str,
        /// Labels of the family.
        expected: usize,
        /// Values given.
        given: usize,
    },
}

/// The place of a label set.
pub(crate) enum Place {
    Own(Slot),
    /// The limit is reached: the shared place of the rest.
    Other(Slot),
}

pub(crate) struct SeriesSet {
    family: &'static Family,
    bounds: Option<Arc<[u64]>>,
    shards: usize,
    words_per_series: usize,
    list: RwLock<List>,
}

#[derive(Default)]
struct List {
    slots: HashMap<Arc<str>, Slot>,
    blocks: Vec<Arc<Block>>,
    free_from: usize,
    other: Option<Slot>,
}

impl SeriesSet {
    pub(crate) fn new(family: &'static Family, bounds: Option<Arc<[u64]>>, shards: usize) -> Self {
        let words_per_series = match family.kind {
            Kind::Counter => COUNTER_WORDS,
            Kind::Gauge => GAUGE_WORDS,
            Kind::Histogram => histogram_words(family.buckets.len()),
        };
        Self {
            family,
            bounds,
            shards,
            words_per_series,
            list: RwLock::default(),
        }
    }

    pub(crate) fn words_per_series(&self) -> usize {
        self.words_per_series
    }

    /// Finds or makes the series. A new one with labels takes one off `budget`.
    pub(crate) fn place(&self, labels: &str, budget: &AtomicUsize) -> Place {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = list.present(labels) {
            return place;
        }
        drop(list);

        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = list.present(labels) {
            return place;
        }
        if self.family.labels.is_empty() || (list.slots.len() < self.family.series_limit && take_one(budget))
        {
            return Place::Own(self.append(&mut list, labels));
        }
        let other_labels = label_set(self.family.labels.iter().map(|label| (*label, OTHER)));
        let other = match list.slots.get(other_labels.as_str()) {
            Some(slot) => slot.clone(),
            None => self.append(&mut list, &other_labels),
        };
        list.other = Some(other.clone());
        Place::Other(other)
    }

    pub(crate) fn contains(&self, labels: &str) -> bool {
        self.list
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .slots
            .contains_key(labels)
    }

    /// The blocks so far; the caller reads them without holding anything up.
    pub(crate) fn blocks(&self) -> Vec<Arc<Block>> {
        self.list
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .blocks
            .clone()
    }

    fn append(&self, list: &mut List, labels: &str) -> Slot {
        let block = match list.blocks.last() {
            Some(block) if list.free_from < block.capacity() => Arc::clone(block),
            Some(_) | None => {
                let least = (FIRST_BLOCK_WORDS / self.words_per_series).max(1);
                // Growing with the family keeps the unused part below a half.
                let capacity = list.slots.len().clamp(least, BLOCK_SERIES);
                let bounds = self.bounds.clone();
                let block = Arc::new(Block::new(capacity, self.words_per_series, self.shards, bounds));
                list.blocks.push(Arc::clone(&block));
                list.free_from = 0;
                block
            }
        };
        let labels: Arc<str> = labels.into();
        block.take(list.free_from, Arc::clone(&labels));
        let slot = Slot::new(block, list.free_from);
        list.free_from += 1;
        list.slots.insert(labels, slot.clone());
        slot
    }
}

impl List {
    /// Answers without change when the series exists or the family is closed.
    fn present(&self, labels: &str) -> Option<Place> {
        let own = self.slots.get(labels).cloned().map(Place::Own);
        own.or_else(|| self.other.clone().map(Place::Other))
    }
}

fn take_one(budget: &AtomicUsize) -> bool {
    let take = |left: usize| left.checked_sub(1);
    budget
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        .is_ok()
}
