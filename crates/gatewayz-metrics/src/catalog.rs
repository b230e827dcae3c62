//! The checked list of families, in the order of the page.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::family::{Family, Kind, Unit};
use crate::series::{SeriesError, SeriesSet};
use crate::text::{bound_text, is_label_name, is_metric_name, label_set, without_total};

/// Why a list of families cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Not a metric name.
    #[error("use {name:?} as a metric name")]
    BadName {
        /// The name.
        name: &'static str,
    },
    /// Two families or aliases would write the same family or sample name.
    #[error("give {name} to two metrics")]
    DuplicateName {
        /// The family or sample name.
        name: String,
    },
    /// Not a label name, reserved, or given twice.
    #[error("use {label:?} as a label of {name}")]
    BadLabel {
        /// The family.
        name: &'static str,
        /// The label.
        label: &'static str,
    },
    /// The name of a counter lacks `_total`, or another kind's name ends in it.
    #[error("tell from the name whether {name} is a counter: counters, and no others, end in _total")]
    TotalSuffix {
        /// The name.
        name: &'static str,
    },
    /// The name does not end in its unit, before any `_total`.
    #[error("find the unit {unit} at the end of {name}")]
    UnitSuffix {
        /// The name.
        name: &'static str,
        /// The word that is missing.
        unit: &'static str,
    },
    /// Bounds that do not ascend, are negative or not finite, fall together in native steps, or are given to
    /// another kind than a histogram.
    #[error("use the bucket bounds of {name}")]
    BadBuckets {
        /// The family.
        name: &'static str,
    },
    /// The steps of a unit are not a power of ten.
    #[error("write the values of {name} as decimals: {steps_per_unit} steps a unit is no power of ten")]
    BadSteps {
        /// The family.
        name: &'static str,
        /// The steps declared.
        steps_per_unit: u64,
    },
    /// The registry's own families could not be prepared.
    #[error("prepare the registry's own metrics")]
    Own(#[from] SeriesError),
}

/// A name on the page, aliases included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exposed {
    /// Name as on the text page.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// Help text.
    pub help: &'static str,
}

/// One family as it is stored and written.
pub(crate) struct Entry {
    pub(crate) family: &'static Family,
    /// The family's name and those aliases that are shown.
    pub(crate) exposed: Vec<Exposed>,
    pub(crate) bound_texts: Vec<String>,
    pub(crate) decimals: usize,
    pub(crate) series: SeriesSet,
}

pub(crate) struct Catalog {
    pub(crate) entries: Vec<Entry>,
    by_name: HashMap<&'static str, usize>,
    claimed: HashSet<String>,
}

impl Catalog {
    pub(crate) fn new(
        families: impl Iterator<Item = &'static Family>,
        legacy_aliases: bool,
        shards: usize,
    ) -> Result<Self, CatalogError> {
        let mut catalog = Self {
            entries: Vec::new(),
            by_name: HashMap::new(),
            claimed: HashSet::new(),
        };
        for family in families {
            // An alias that is not shown is checked all the same: a setting must not make a start fail.
            catalog.claim(family, family.name)?;
            for alias in family.aliases {
                catalog.claim(family, alias.name)?;
            }
            catalog.by_name.insert(family.name, catalog.entries.len());
            catalog.entries.push(entry(family, legacy_aliases, shards)?);
        }
        Ok(catalog)
    }

    /// Finds the family and writes the label set of one of its series.
    pub(crate) fn series(
        &self,
        family: &Family,
        kind: Kind,
        values: &[&str],
    ) -> Result<(usize, String), SeriesError> {
        let index = self.index(family)?;
        let name = family.name;
        if family.kind != kind {
            return Err(SeriesError::WrongKind {
                name,
                kind: family.kind,
            });
        }
        let (expected, given) = (family.labels.len(), values.len());
        if expected != given {
            return Err(SeriesError::LabelCount {
                name,
                expected,
                given,
            });
        }
        Ok((
            index,
            label_set(family.labels.iter().copied().zip(values.iter().copied())),
        ))
    }

    /// Finds the family; one declared differently under the same name is another family.
    pub(crate) fn index(&self, family: &Family) -> Result<usize, SeriesError> {
        let index = self.by_name.get(family.name).copied();
        index
            .filter(|index| {
                self.entries
                    .get(*index)
                    .is_some_and(|entry| entry.family == family)
            })
            .ok_or(SeriesError::UnknownFamily { name: family.name })
    }

    /// Whether one of our families or samples has this name.
    pub(crate) fn claims(&self, name: &str) -> bool {
        self.claimed.contains(name)
    }

    fn claim(&mut self, family: &Family, name: &'static str) -> Result<(), CatalogError> {
        check_name(family, name)?;
        for claimed in page_names(name, family.kind) {
            if !self.claimed.insert(claimed.clone()) {
                return Err(CatalogError::DuplicateName { name: claimed });
            }
        }
        Ok(())
    }
}

/// Every family and sample name that a metric puts on either page.
pub(crate) fn page_names(name: &str, kind: Kind) -> Vec<String> {
    match kind {
        Kind::Counter => vec![without_total(name).to_owned(), name.to_owned()],
        Kind::Gauge => vec![name.to_owned()],
        Kind::Histogram => ["", "_bucket", "_count", "_sum"]
            .map(|suffix| format!("{name}{suffix}"))
            .to_vec(),
    }
}

fn check_name(family: &Family, name: &'static str) -> Result<(), CatalogError> {
    if !is_metric_name(name) {
        return Err(CatalogError::BadName { name });
    }
    if name.ends_with("_total") != (family.kind == Kind::Counter) {
        return Err(CatalogError::TotalSuffix { name });
    }
    let unit = family.unit.as_str();
    match family.unit {
        Unit::Seconds | Unit::Bytes if !without_total(name).ends_with(unit) => {
            Err(CatalogError::UnitSuffix { name, unit })
        }
        // Ratios have long had names of their own: error_rate, availability.
        Unit::None | Unit::Ratio | Unit::Seconds | Unit::Bytes => Ok(()),
    }
}

fn entry(family: &'static Family, legacy_aliases: bool, shards: usize) -> Result<Entry, CatalogError> {
    let Family {
        name,
        kind,
        help,
        labels,
        steps_per_unit,
        ..
    } = *family;
    for (position, label) in labels.iter().enumerate() {
        let repeated = labels.iter().take(position).any(|earlier| earlier == label);
        let reserved = kind == Kind::Histogram && *label == "le";
        if repeated || reserved || !is_label_name(label) {
            return Err(CatalogError::BadLabel { name, label });
        }
    }
    let decimals = steps_per_unit.checked_ilog10().unwrap_or_default();
    if 10_u64.pow(decimals) != steps_per_unit {
        return Err(CatalogError::BadSteps { name, steps_per_unit });
    }
    let bounds = match kind {
        Kind::Histogram => Some(native_bounds(family)?),
        Kind::Counter | Kind::Gauge if family.buckets.is_empty() => None,
        Kind::Counter | Kind::Gauge => return Err(CatalogError::BadBuckets { name }),
    };
    let aliases = family
        .aliases
        .iter()
        .filter(|alias| legacy_aliases || !alias.legacy);
    let aliases = aliases.map(|alias| Exposed {
        name: alias.name,
        kind,
        help: alias.help,
    });
    Ok(Entry {
        family,
        exposed: std::iter::once(Exposed { name, kind, help })
            .chain(aliases)
            .collect(),
        bound_texts: family.buckets.iter().copied().map(bound_text).collect(),
        decimals: usize::try_from(decimals).unwrap_or_default(),
        series: SeriesSet::new(family, bounds, shards),
    })
}

fn native_bounds(family: &Family) -> Result<Arc<[u64]>, CatalogError> {
    let scaled = family
        .buckets
        .iter()
        .map(|bound| (bound * family.steps_per_unit as f64).round());
    let usable = scaled
        .clone()
        .all(|bound| (0.0..=u64::MAX as f64).contains(&bound));
    if !usable || !scaled.clone().is_sorted_by(|lower, upper| lower < upper) {
        return Err(CatalogError::BadBuckets { name: family.name });
    }
    Ok(scaled.map(|bound| bound as u64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::Alias;

    const GOOD: Family = Family::counter("good_total", "Help.", &["a"]);

    fn refusal(families: &'static [Family]) -> Option<CatalogError> {
        Catalog::new(families.iter(), false, 1).err()
    }

    #[test]
    fn names_must_be_valid_and_tell_kind_and_unit() {
        const BAD: &[Family] = &[Family::gauge("a-b", "", &[])];
        const NO_TOTAL: &[Family] = &[Family::counter("requests", "", &[])];
        const GAUGE_TOTAL: &[Family] = &[Family::gauge("requests_total", "", &[])];
        const NO_UNIT: &[Family] = &[Family::histogram("delay", "", &[], Unit::Seconds, &[])];
        const UNIT: &[Family] = &[Family::counter("sent_bytes_total", "", &[]).with_unit(Unit::Bytes)];

        assert_eq!(refusal(BAD), Some(CatalogError::BadName { name: "a-b" }));
        assert_eq!(
            refusal(NO_TOTAL),
            Some(CatalogError::TotalSuffix { name: "requests" })
        );
        assert_eq!(
            refusal(GAUGE_TOTAL),
            Some(CatalogError::TotalSuffix {
                name: "requests_total"
            })
        );
        assert_eq!(
            refusal(NO_UNIT),
            Some(CatalogError::UnitSuffix {
                name: "delay",
                unit: "seconds"
            })
        );
        assert_eq!(refusal(UNIT), None);
    }

    #[test]
    fn no_two_metrics_write_the_same_name() {
        const TWICE: &[Family] = &[GOOD, GOOD];
        const SAMPLE: &[Family] = &[
            Family::gauge("size_sum", "", &[]),
            Family::histogram("size", "", &[], Unit::None, &[]),
        ];
        const OPEN_METRICS: &[Family] = &[Family::gauge("good", "", &[]), GOOD];
        const HIDDEN_ALIAS: &[Family] = &[
            GOOD,
            Family::gauge("b", "", &[]).with_alias(&[Alias::legacy("good", "")]),
        ];

        let cases = [
            (TWICE, "good"),
            (SAMPLE, "size_sum"),
            (OPEN_METRICS, "good"),
            (HIDDEN_ALIAS, "good"),
        ];
        for (families, name) in cases {
            assert_eq!(
                refusal(families),
                Some(CatalogError::DuplicateName {
                    name: name.to_owned()
                })
            );
        }
    }

    #[test]
    fn labels_are_checked() {
        const BAD: &[Family] = &[Family::gauge("a", "", &["b-c"])];
        const RESERVED: &[Family] = &[Family::histogram("a", "", &["le"], Unit::None, &[])];
        const TWICE: &[Family] = &[Family::gauge("a", "", &["b", "b"])];

        for (families, label) in [(BAD, "b-c"), (RESERVED, "le"), (TWICE, "b")] {
            assert_eq!(
                refusal(families),
                Some(CatalogError::BadLabel { name: "a", label })
            );
        }
    }

    #[test]
    fn bounds_ascend_and_are_distinct_in_native_steps() {
        const UNSORTED: &[Family] = &[Family::histogram("a", "", &[], Unit::None, &[2.0, 1.0])];
        const SAME: &[Family] = &[Family::histogram("a", "", &[], Unit::None, &[1.0, 1.2])];
        const NEGATIVE: &[Family] = &[Family::histogram("a", "", &[], Unit::None, &[-1.0])];
        const INFINITE: &[Family] = &[Family::histogram("a", "", &[], Unit::None, &[1.0, f64::INFINITY])];
        const NONE: &[Family] = &[Family::histogram("a", "", &[], Unit::None, &[])];

        for families in [UNSORTED, SAME, NEGATIVE, INFINITE] {
            assert_eq!(refusal(families), Some(CatalogError::BadBuckets { name: "a" }));
        }
        assert_eq!(refusal(NONE), None);
    }

    #[test]
    fn steps_are_a_power_of_ten() {
        const THREE: &[Family] = &[Family::counter("a_total", "", &[]).with_steps_per_unit(3)];
        const ZERO: &[Family] = &[Family::counter("a_total", "", &[]).with_steps_per_unit(0)];

        for (families, steps_per_unit) in [(THREE, 3), (ZERO, 0)] {
            assert_eq!(
                refusal(families),
                Some(CatalogError::BadSteps {
                    name: "a_total",
                    steps_per_unit
                })
            );
        }
    }
}
