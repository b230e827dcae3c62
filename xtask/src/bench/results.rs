//! The committed results: what `--write` keeps, and what the document is rendered from.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use super::estimate::Estimate;

/// Where they are, under the top of the tree.
pub(crate) const FILE: &str = "docs/performance.json";

/// The figures of one machine.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Results {
    /// Facts of the machine, in the order of the document.
    pub(crate) machine: Vec<(String, String)>,
    /// By the key of the figure.
    pub(crate) figures: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Entry {
    pub(crate) estimate: Estimate,
    /// Why it cannot be judged; `None` when it can.
    pub(crate) noise: Option<String>,
}

impl Results {
    /// Those in the tree; none when the file is not there.
    ///
    /// # Errors
    /// When the file cannot be read or is not such a file.
    pub(crate) fn load(root: &Path) -> Result<Self> {
        let path = root.join(FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(&path).with_context(|| format!("read {FILE}"))?;
        Self::parse(&text).with_context(|| format!("read {FILE}"))
    }

    /// Takes the figures of a run. Those of a full run are all there are; others replace their own.
    ///
    /// # Errors
    /// When figures of two machines would stand side by side.
    pub(crate) fn take(&mut self, run: Self, is_full: bool) -> Result<()> {
        if is_full {
            *self = run;
            return Ok(());
        }
        ensure!(
            self.figures.is_empty() || self.machine == run.machine,
            "write single figures: the others are of another machine; measure all of them"
        );
        self.machine = run.machine;
        self.figures.extend(run.figures);
        Ok(())
    }

    /// Writes them into the tree.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn save(&self, root: &Path) -> Result<()> {
        fs::write(root.join(FILE), self.text()?).with_context(|| format!("write {FILE}"))
    }

    fn text(&self) -> Result<String> {
        let machine: Map<_, _> = self
            .machine
            .iter()
            .map(|(name, text)| (name.clone(), json!(text)))
            .collect();
        let figures: Map<_, _> = self
            .figures
            .iter()
            .map(|(key, entry)| (key.clone(), entry.to_json()))
            .collect();
        let text = serde_json::to_string_pretty(&json!({ "machine": machine, "figures": figures }))
            .context("write the results as JSON")?;
        Ok(text + "\n")
    }

    fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text).context("read JSON")?;
        let part = |name: &str| {
            value
                .get(name)
                .and_then(Value::as_object)
                .with_context(|| format!("find {name}"))
        };
        let machine = part("machine")?
            .iter()
            .map(|(name, text)| (name.clone(), text.as_str().unwrap_or_default().to_owned()));
        let figures = part("figures")?
            .iter()
            .map(|(key, entry)| Ok((key.clone(), Entry::from_json(entry).context(key.clone())?)));
        Ok(Self {
            machine: machine.collect(),
            figures: figures.collect::<Result<_>>()?,
        })
    }
}

impl Entry {
    fn to_json(&self) -> Value {
        let mut entry = Map::from_iter([("value".to_owned(), json!(rounded(self.estimate.median)))]);
        if let Some(ends) = self.estimate.interval {
            entry.insert("interval".to_owned(), json!(ends.map(rounded)));
        }
        if let Some(noise) = &self.noise {
            entry.insert("noise".to_owned(), json!(noise));
        }
        entry.into()
    }

    fn from_json(entry: &Value) -> Result<Self> {
        let interval = entry.get("interval").map(|ends| {
            let end = |index: usize| ends.get(index).and_then(Value::as_f64);
            end(0).zip(end(1)).context("find the ends of the interval")
        });
        let estimate = Estimate {
            median: entry
                .get("value")
                .and_then(Value::as_f64)
                .context("find the value")?,
            interval: interval.transpose()?.map(<[f64; 2]>::from),
        };
        Ok(Self {
            estimate,
            noise: entry.get("noise").and_then(Value::as_str).map(str::to_owned),
        })
    }
}

/// To four digits, or a whole number: what follows differs from run to run.
fn rounded(value: f64) -> f64 {
    if value.abs() >= 1_000.0 {
        return value.round();
    }
    format!("{value:.3e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::{Entry, Estimate, Results};

    fn results(machine: &str, key: &str, value: f64) -> Results {
        let entry = Entry {
            estimate: Estimate {
                median: value,
                interval: Some([0.5, 2.0]),
            },
            noise: None,
        };
        Results {
            machine: vec![("Processor".to_owned(), machine.to_owned())],
            figures: [(key.to_owned(), entry)].into(),
        }
    }

    #[test]
    fn what_is_saved_is_read_again() {
        let mut written = results("one", "cpu", 1.23456);
        written.figures.insert(
            "idle".to_owned(),
            Entry {
                noise: Some("busy".to_owned()),
                ..Entry::default()
            },
        );

        let read = Results::parse(&written.text().unwrap()).unwrap();

        let mut expected = written;
        expected.figures.get_mut("cpu").unwrap().estimate.median = 1.235;
        assert_eq!(read, expected);
    }

    #[test]
    fn single_figures_replace_their_own_rows_only() {
        let mut kept = results("one", "cpu", 1.2);
        kept.take(results("one", "idle", 0.1), false).unwrap();
        kept.take(results("one", "cpu", 1.1), false).unwrap();

        let values: Vec<_> = kept
            .figures
            .iter()
            .map(|(key, entry)| (key.as_str(), entry.estimate.median))
            .collect();
        assert_eq!(values, [("cpu", 1.1), ("idle", 0.1)]);
    }

    #[test]
    fn figures_of_two_machines_never_stand_side_by_side() {
        let mut kept = results("one", "cpu", 1.2);

        let mixed = kept.take(results("two", "idle", 0.1), false);
        let replaced = kept.take(results("two", "idle", 0.1), true);

        assert!(mixed.is_err() && replaced.is_ok());
        assert_eq!(kept.figures.len(), 1);
    }
}
