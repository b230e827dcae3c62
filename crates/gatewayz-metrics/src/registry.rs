//! The registry: the families of one process, their series, and what is added when the page is read.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::catalog::{Catalog, CatalogError, Exposed};
use crate::cells::{Counter, Gauge, Histogram, Slot};
use crate::collect::{Collect, Collected};
use crate::family::{Family, Kind};
use crate::foreign::{ForeignFamilies, ForeignPage};
use crate::format::Format;
use crate::render::Page;
use crate::series::{Place, SeriesError};
use crate::shard::shard_count;
use crate::{COLLECT_ERRORS, FAMILIES, LABEL_OVERFLOW};

/// Holds the metrics of a process; clones share them.
#[derive(Clone)]
pub struct Registry(Arc<Shared>);

/// Bounds and choices of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistrySettings {
    /// Whether names of earlier releases are written too.
    pub legacy_aliases: bool,
    /// Series with labels in all families together; beyond it each family has only its `__other__` series left.
    pub series_limit: usize,
}

impl Default for RegistrySettings {
    /// No legacy aliases, 10,000 series.
    fn default() -> Self {
        Self {
            legacy_aliases: false,
            series_limit: 10_000,
        }
    }
}

struct Shared {
    catalog: Catalog,
    budget: AtomicUsize,
    /// Overflow counts by place in the catalog; families without labels cannot overflow.
    overflows: Vec<Option<Counter>>,
    collect_errors: Counter,
    last_page_failed: AtomicBool,
    collectors: RwLock<Vec<Arc<dyn Collect>>>,
    foreign: RwLock<Vec<Arc<dyn ForeignFamilies>>>,
}

impl Registry {
    /// Checks the families and prepares them, in the order given; [`FAMILIES`] come last unless they are in a list.
    ///
    /// # Errors
    /// A list that Prometheus or OpenMetrics could not read, or that breaks their naming rules.
    pub fn new(families: &[&'static [Family]], settings: RegistrySettings) -> Result<Self, CatalogError> {
        let given = || families.iter().copied().flatten();
        let own = FAMILIES
            .iter()
            .filter(|own| !given().any(|family| family == *own));
        let catalog = Catalog::new(given().chain(own), settings.legacy_aliases, shard_count())?;

        let unbounded = AtomicUsize::new(usize::MAX);
        let own_counter = |family: &Family, values: &[&str]| {
            place(&catalog, &unbounded, family, Kind::Counter, values).map(|(_, place)| match place {
                Place::Own(slot) | Place::Other(slot) => Counter(slot),
            })
        };
        let overflow = |family: &Family| {
            let bounded = !family.labels.is_empty() && family.name != LABEL_OVERFLOW.name;
            bounded
                .then(|| own_counter(&LABEL_OVERFLOW, &[family.name]))
                .transpose()
        };
        let overflows = catalog
            .entries
            .iter()
            .map(|entry| overflow(entry.family))
            .collect::<Result<_, _>>()?;
        let collect_errors = own_counter(&COLLECT_ERRORS, &[])?;
        Ok(Self(Arc::new(Shared {
            catalog,
            budget: AtomicUsize::new(settings.series_limit),
            overflows,
            collect_errors,
            last_page_failed: AtomicBool::new(false),
            collectors: RwLock::default(),
            foreign: RwLock::default(),
        })))
    }

    /// The counter of a label set; made at zero, or `__other__` beyond a limit.
    ///
    /// Values are cut at 256 bytes and control characters replaced. This looks the series up by text: keep the
    /// handle.
    ///
    /// # Errors
    /// A family that is not in the catalog, another kind, or another number of labels.
    pub fn counter(&self, family: &Family, label_values: &[&str]) -> Result<Counter, SeriesError> {
        self.resolve(family, Kind::Counter, label_values).map(Counter)
    }

    /// The gauge of a label set, as [`counter`](Self::counter).
    ///
    /// # Errors
    /// As [`counter`](Self::counter).
    pub fn gauge(&self, family: &Family, label_values: &[&str]) -> Result<Gauge, SeriesError> {
        self.resolve(family, Kind::Gauge, label_values).map(Gauge)
    }

    /// The histogram of a label set, as [`counter`](Self::counter).
    ///
    /// # Errors
    /// As [`counter`](Self::counter).
    pub fn histogram(&self, family: &Family, label_values: &[&str]) -> Result<Histogram, SeriesError> {
        self.resolve(family, Kind::Histogram, label_values).map(Histogram)
    }

    /// Adds samples that are made when the page is read.
    ///
    /// # Errors
    /// One of the families it will feed is not in the catalog.
    pub fn collector(&self, families: &[Family], collector: Box<dyn Collect>) -> Result<(), SeriesError> {
        for family in families {
            self.0.catalog.index(family)?;
        }
        self.0
            .collectors
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(collector.into());
        Ok(())
    }

    /// Adds the families of another library, written after ours; one whose names we use already is left out.
    pub fn foreign(&self, families: Box<dyn ForeignFamilies>) {
        self.0
            .foreign
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(families.into());
    }

    /// The catalog, in the order of the page.
    pub fn families(&self) -> impl Iterator<Item = &'static Family> + '_ {
        self.0.catalog.entries.iter().map(|entry| entry.family)
    }

    /// Every name of ours that is on the page, aliases included.
    pub fn exposed(&self) -> impl Iterator<Item = Exposed> + '_ {
        self.0
            .catalog
            .entries
            .iter()
            .flat_map(|entry| entry.exposed.iter().copied())
    }

    /// Appends the whole page. A collector that panics loses its own samples and is counted. Takes some milliseconds at
    /// 10,000 series and offers the core to other threads meanwhile: call it from a thread that serves nothing else.
    pub fn render(&self, format: Format, out: &mut Vec<u8>) {
        let Shared {
            catalog,
            collectors,
            foreign,
            collect_errors,
            last_page_failed,
            ..
        } = &*self.0;
        // Taken before anything is written, so that this page shows the errors of this scrape.
        let collectors = collectors.read().unwrap_or_else(PoisonError::into_inner).clone();
        let collected = Collected::gather(catalog, &collectors);
        let foreign = foreign.read().unwrap_or_else(PoisonError::into_inner).clone();
        let foreign = ForeignPage::gather(catalog, &foreign);
        let errors = collected.errors + foreign.errors;
        collect_errors.add(errors);
        last_page_failed.store(errors > 0, Ordering::Relaxed);

        let mut page = Page::new(out, format);
        for (index, entry) in catalog.entries.iter().enumerate() {
            page.entry(index, entry, &collected);
        }
        for family in &foreign.families {
            page.foreign(family);
        }
        page.end();
    }

    /// Whether samples were missing from the last page; `false` before the first.
    #[must_use]
    pub fn last_page_failed(&self) -> bool {
        self.0.last_page_failed.load(Ordering::Relaxed)
    }

    fn resolve(&self, family: &Family, kind: Kind, values: &[&str]) -> Result<Slot, SeriesError> {
        let Shared {
            catalog,
            budget,
            overflows,
            ..
        } = &*self.0;
        match place(catalog, budget, family, kind, values)? {
            (_, Place::Own(slot)) => Ok(slot),
            (index, Place::Other(slot)) => {
                if let Some(Some(overflow)) = overflows.get(index) {
                    overflow.increment();
                }
                Ok(slot)
            }
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Registry")
            .field("families", &self.0.catalog.entries.len())
            .finish()
    }
}

fn place(
    catalog: &Catalog,
    budget: &AtomicUsize,
    family: &Family,
    kind: Kind,
    values: &[&str],
) -> Result<(usize, Place), SeriesError> {
    let (index, labels) = catalog.series(family, kind, values)?;
    let entry = catalog
        .entries
        .get(index)
        .ok_or(SeriesError::UnknownFamily { name: family.name })?;
    Ok((index, entry.series.place(&labels, budget)))
}
