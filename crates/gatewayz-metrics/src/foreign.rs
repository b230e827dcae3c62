//! Families of another metrics library on the same page.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::catalog::{Catalog, page_names};
use crate::family::Kind;
use crate::text::{is_label_name, is_metric_name, label_set};

/// Reads the families of another library when the page is read.
pub trait ForeignFamilies: Send + Sync {
    /// The present families. Runs on the thread that renders, once a scrape.
    fn gather(&self) -> Vec<ForeignFamily>;
}

/// A family whose name is known only at run time.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignFamily {
    /// Name on the page; a counter gets `_total` if it lacks it.
    pub name: String,
    /// Help text.
    pub help: String,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// Its series, each with another label set.
    pub series: Vec<ForeignSeries>,
}

/// One series of a [`ForeignFamily`].
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignSeries {
    /// Names and values of the labels.
    pub labels: Vec<(String, String)>,
    /// What it shows; it must fit the kind of the family.
    pub value: ForeignValue,
}

/// The value of a [`ForeignSeries`].
#[derive(Debug, Clone, PartialEq)]
pub enum ForeignValue {
    /// Of a counter or gauge.
    Number(f64),
    /// Of a histogram.
    Histogram {
        /// Upper bound and count up to it, ascending; `+Inf` may be left out.
        buckets: Vec<(f64, u64)>,
        /// Sum of the observations.
        sum: f64,
        /// Number of observations.
        count: u64,
    },
}

/// Foreign families fit to be written.
#[derive(Default)]
pub(crate) struct ForeignPage {
    pub(crate) families: Vec<ReadyFamily>,
    pub(crate) errors: u64,
}

pub(crate) struct ReadyFamily {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) kind: Kind,
    /// Label set and value.
    pub(crate) series: Vec<(String, ForeignValue)>,
}

impl ForeignPage {
    pub(crate) fn gather(catalog: &Catalog, sources: &[Arc<dyn ForeignFamilies>]) -> Self {
        let mut page = Self::default();
        let mut claimed = HashSet::new();
        for source in sources {
            let Ok(families) = catch_unwind(AssertUnwindSafe(|| source.gather())) else {
                page.errors += 1;
                continue;
            };
            for family in families {
                page.add(catalog, &mut claimed, family);
            }
        }
        page
    }

    fn add(&mut self, catalog: &Catalog, claimed: &mut HashSet<String>, family: ForeignFamily) {
        let ForeignFamily {
            mut name,
            help,
            kind,
            series,
        } = family;
        if kind == Kind::Counter && !name.ends_with("_total") {
            name.push_str("_total");
        }
        let names = page_names(&name, kind);
        let taken = names
            .iter()
            .any(|name| catalog.claims(name) || claimed.contains(name));
        if taken || !is_metric_name(&name) {
            self.errors += 1;
            return;
        }
        claimed.extend(names);

        let mut seen = HashSet::new();
        let mut ready = Vec::with_capacity(series.len());
        for ForeignSeries { labels, value } in series {
            let histogram = kind == Kind::Histogram;
            let fits = matches!(value, ForeignValue::Histogram { .. }) == histogram;
            let valid = labels
                .iter()
                .all(|(label, _)| is_label_name(label) && !(histogram && label == "le"));
            let set = label_set(
                labels
                    .iter()
                    .map(|(label, value)| (label.as_str(), value.as_str())),
            );
            if fits && valid && seen.insert(set.clone()) {
                ready.push((set, value));
            } else {
                self.errors += 1;
            }
        }
        self.families.push(ReadyFamily {
            name,
            help,
            kind,
            series: ready,
        });
    }
}
