//! Samples that are made when the page is read.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::cells::gauge_words;
use crate::family::{Family, Kind};

/// Makes samples for one scrape. A closure will do.
pub trait Collect: Send + Sync {
    /// Offers the present samples. Runs on the thread that renders, once a scrape, possibly on several at once.
    fn collect(&self, samples: &mut Samples<'_>);
}

impl<F: Fn(&mut Samples<'_>) + Send + Sync> Collect for F {
    fn collect(&self, samples: &mut Samples<'_>) {
        self(samples);
    }
}

/// Takes the samples of one collector.
///
/// A sample is refused, and counted in `telemetry_collect_errors_total`, when its family is not in the catalog
/// or has another kind or number of labels, and when the series is there already.
pub struct Samples<'a> {
    catalog: &'a Catalog,
    readings: BTreeMap<(usize, String), Vec<u64>>,
    errors: u64,
}

/// A histogram that is kept elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistogramReading<'a> {
    /// Observations in each bucket alone, one more than the family has bounds.
    pub buckets: &'a [u64],
    /// Sum of the observed steps.
    pub sum: u64,
}

impl Samples<'_> {
    /// A counter's total in native steps (nanoseconds for a family in seconds).
    pub fn counter(&mut self, family: &Family, label_values: &[&str], total: u64) {
        self.offer(family, Kind::Counter, label_values, vec![total]);
    }

    /// A gauge's value in the family's unit.
    pub fn gauge(&mut self, family: &Family, label_values: &[&str], value: f64) {
        self.offer(family, Kind::Gauge, label_values, gauge_words(value).to_vec());
    }

    /// A histogram's buckets and sum.
    pub fn histogram(&mut self, family: &Family, label_values: &[&str], reading: HistogramReading<'_>) {
        let words = std::iter::once(reading.sum)
            .chain(reading.buckets.iter().copied())
            .collect();
        self.offer(family, Kind::Histogram, label_values, words);
    }

    fn offer(&mut self, family: &Family, kind: Kind, label_values: &[&str], words: Vec<u64>) {
        let Ok((index, labels)) = self.catalog.series(family, kind, label_values) else {
            self.errors += 1;
            return;
        };
        let fits = self.catalog.entries.get(index).is_some_and(|entry| {
            entry.series.words_per_series() == words.len() && !entry.series.contains(&labels)
        });
        match self.readings.entry((index, labels)) {
            Entry::Vacant(place) if fits => {
                place.insert(words);
            }
            Entry::Vacant(_) | Entry::Occupied(_) => self.errors += 1,
        }
    }
}

/// What all collectors gave for one page.
#[derive(Default)]
pub(crate) struct Collected {
    readings: BTreeMap<(usize, String), Vec<u64>>,
    pub(crate) errors: u64,
}

impl Collected {
    pub(crate) fn gather(catalog: &Catalog, collectors: &[Arc<dyn Collect>]) -> Self {
        let mut collected = Self::default();
        for collector in collectors {
            let mut samples = Samples {
                catalog,
                readings: BTreeMap::new(),
                errors: 0,
            };
            if catch_unwind(AssertUnwindSafe(|| collector.collect(&mut samples))).is_err() {
                collected.errors += 1;
                continue;
            }
            collected.errors += samples.errors;
            for (series, words) in samples.readings {
                match collected.readings.entry(series) {
                    Entry::Occupied(_) => collected.errors += 1,
                    Entry::Vacant(place) => {
                        place.insert(words);
                    }
                }
            }
        }
        collected
    }

    /// Label sets and words of one family's samples.
    pub(crate) fn of(&self, index: usize) -> impl Iterator<Item = (&str, &[u64])> {
        let family = (index, String::new())..(index + 1, String::new());
        self.readings
            .range(family)
            .map(|((_, labels), words)| (labels.as_str(), words.as_slice()))
    }
}
