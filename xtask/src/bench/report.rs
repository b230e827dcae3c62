//! What a run has measured so far: printed as it comes, judged, kept for the document.

use std::collections::BTreeMap;

use super::estimate::Estimate;
use super::judge::{Measured, Verdict, judge};
use super::limits::{Figure, SECTIONS};
use super::results::{Entry, Results};

/// An interval of the floor that is longer than this share of its middle shows a machine that is not at rest.
const FLOOR_SPREAD_MAX: f64 = 0.25;

/// What one measurement says.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) figures: Vec<Measured>,
    /// Runs whose signals did not agree.
    pub(crate) disagreeing: usize,
    /// What the measurement itself noticed of the machine.
    pub(crate) noise: Option<String>,
    /// What the floor took in each round, in any unit: its own repeats tell of the machine.
    pub(crate) floor: Vec<f64>,
}

/// Everything measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: BTreeMap<&'static str, Row>,
    disagreeing: usize,
}

#[derive(Debug)]
struct Row {
    entry: Entry,
    verdict: Verdict,
}

impl Reading {
    /// Adds a figure.
    pub(crate) fn put(&mut self, measured: Measured) {
        self.figures.push(measured);
    }

    /// Takes note of whether the signals of a run agreed.
    pub(crate) fn agreed(&mut self, agreed: bool) {
        self.disagreeing += usize::from(!agreed);
    }

    /// Adds what a part of the measurement says.
    pub(crate) fn join(&mut self, other: Self) {
        self.figures.extend(other.figures);
        self.disagreeing += other.disagreeing;
        self.floor.extend(other.floor);
        self.noise = self.noise.take().or(other.noise);
    }
}

impl Report {
    /// Judges a measurement and prints each figure; `disturbance` is what else used the machine.
    pub(crate) fn add(&mut self, reading: Reading, disturbance: Option<String>) {
        let floor_spread = Estimate::of(reading.floor).spread();
        let noise = disturbance.or(reading.noise).or_else(|| {
            (floor_spread > FLOOR_SPREAD_MAX)
                .then(|| format!("the rounds of bare are {:.0} % apart", floor_spread * 100.0))
        });
        for measured in reading.figures {
            let figure = measured.figure;
            let row = Row::of(&measured, noise.as_deref());
            println!("  {}", row.line(figure));
            self.rows.insert(figure.key, row);
        }
        if reading.disagreeing > 0 {
            println!("  THE SIGNALS OF {} RUNS DO NOT AGREE", reading.disagreeing);
            self.disagreeing += reading.disagreeing;
        }
    }

    /// Prints every figure once more, by section.
    pub(crate) fn print(&self) {
        println!("\nWhat was measured");
        for (section, figures) in SECTIONS {
            let mut title = Some(section);
            for figure in *figures {
                let Some(row) = self.rows.get(figure.key) else {
                    continue;
                };
                if let Some(section) = title.take() {
                    println!("\n{section}");
                }
                println!("  {}", row.line(figure));
            }
        }
        let count = |verdict| self.rows.values().filter(|row| row.verdict == verdict).count();
        println!(
            "\n{} above the limit, {} too noisy to judge, {} runs whose signals do not agree",
            count(Verdict::Above),
            count(Verdict::TooNoisy),
            self.disagreeing
        );
    }

    /// Whether nothing is above its limit and all signals agree. What is too noisy to judge is neither.
    pub(crate) fn passed(&self) -> bool {
        self.disagreeing == 0 && self.rows.values().all(|row| row.verdict != Verdict::Above)
    }

    /// The figures for the document.
    pub(crate) fn into_results(self, machine: Vec<(String, String)>) -> Results {
        let figures = self
            .rows
            .into_iter()
            .map(|(key, row)| (key.to_owned(), row.entry));
        Results {
            machine,
            figures: figures.collect(),
        }
    }
}

impl Row {
    fn of(measured: &Measured, noise: Option<&str>) -> Self {
        let verdict = judge(measured.figure, &measured.estimate);
        let (verdict, noise) = match (verdict, noise) {
            (Verdict::Shown, _) => (verdict, None),
            (_, Some(noise)) if measured.figure.timed => (Verdict::TooNoisy, Some(noise.to_owned())),
            (Verdict::TooNoisy, _) => (verdict, Some("the limit lies in the interval".to_owned())),
            (_, _) => (verdict, None),
        };
        let entry = Entry {
            estimate: measured.estimate,
            noise,
        };
        Self { entry, verdict }
    }

    fn line(&self, figure: &Figure) -> String {
        let estimate = self.entry.estimate;
        let interval = estimate.interval.map_or(String::new(), |ends| {
            format!(" ({})", figure.unit.show_interval(ends))
        });
        let bounds = match (figure.must, figure.goal) {
            (None, None) => String::new(),
            (Some(must), None) => format!("; {}", must.words(figure.unit)),
            (None, Some(goal)) => format!("; goal {}", goal.words(figure.unit)),
            (Some(must), Some(goal)) => format!(
                "; {}, goal {}",
                must.words(figure.unit),
                figure.unit.show(goal.value())
            ),
        };
        let noise = self
            .entry
            .noise
            .as_deref()
            .map_or(String::new(), |noise| format!(": {noise}"));
        format!(
            "{:<78} {:>10}{interval}  {}{noise}{bounds}",
            figure.what,
            figure.unit.show(estimate.median),
            self.verdict.words()
        )
    }
}

/// What the document says of a kept figure.
pub(crate) fn verdict(figure: &Figure, entry: &Entry) -> Verdict {
    match entry.noise {
        Some(_) => Verdict::TooNoisy,
        None => judge(figure, &entry.estimate),
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge::Measured;
    use super::super::limits::{CPU, INSTRUCTIONS};
    use super::{Reading, Report};

    fn report(reading: Reading, disturbance: Option<&str>) -> Report {
        let mut report = Report::default();
        report.add(reading, disturbance.map(str::to_owned));
        report
    }

    fn reading(cpu: f64, instructions: f64) -> Reading {
        Reading {
            figures: vec![
                Measured::once(&CPU, cpu),
                Measured::once(&INSTRUCTIONS, instructions),
            ],
            ..Reading::default()
        }
    }

    #[test]
    fn a_busy_machine_forbids_to_judge_times_but_no_counts() {
        assert!(!report(reading(2.0, 100.0), None).passed());
        assert!(report(reading(2.0, 100.0), Some("busy")).passed());
        assert!(!report(reading(1.0, 9_000.0), Some("busy")).passed());
    }

    #[test]
    fn repeats_of_the_floor_that_differ_forbid_to_judge_times() {
        let mut unsteady = reading(2.0, 100.0);
        unsteady.floor = vec![1.0, 1.4, 1.0];

        assert!(report(unsteady, None).passed());
    }

    #[test]
    fn signals_that_do_not_agree_fail_whatever_the_noise() {
        let mut wrong = reading(1.0, 100.0);
        wrong.agreed(false);

        assert!(!report(wrong, Some("busy")).passed());
    }
}
