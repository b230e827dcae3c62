//! Named steps that all run, each timed, with a table at the end.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// Time after which a running step says that it still runs.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// Not run, with the reason and what to do about it.
    Skipped(String),
}

/// What ran so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: String,
    outcome: Outcome,
    took: Duration,
}

impl From<bool> for Outcome {
    fn from(succeeded: bool) -> Self {
        if succeeded { Self::Passed } else { Self::Failed }
    }
}

impl Report {
    /// Runs a step and shows its name before and its outcome after; an error is a failure with its reason.
    pub(crate) fn run(&mut self, name: &str, work: impl FnOnce() -> Result<Outcome>) -> &Outcome {
        println!("== {name}");
        let started = Instant::now();
        let outcome = with_heartbeat(name, work).unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            Outcome::Failed
        });
        let step = Step {
            name: name.to_owned(),
            outcome,
            took: started.elapsed(),
        };
        println!("== {}", step.line(name.len()));
        println!();
        self.steps.push(step);
        self.steps.last().map_or(&Outcome::Failed, |step| &step.outcome)
    }

    /// One aligned line per step.
    pub(crate) fn table(&self) -> String {
        let width = self.steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
        self.steps.iter().map(|step| step.line(width) + "\n").collect()
    }

    pub(crate) fn failed_count(&self) -> usize {
        self.steps
            .iter()
            .filter(|step| step.outcome == Outcome::Failed)
            .count()
    }

    pub(crate) fn skipped_count(&self) -> usize {
        self.steps
            .iter()
            .filter(|step| matches!(step.outcome, Outcome::Skipped(_)))
            .count()
    }
}

impl Step {
    fn line(&self, width: usize) -> String {
        let (word, reason) = match &self.outcome {
            Outcome::Passed => ("passed", String::new()),
            Outcome::Failed => ("FAILED", String::new()),
            Outcome::Skipped(reason) => ("skipped", format!("  {reason}")),
        };
        format!(
            "{:width$}  {:>7.1} s  {word}{reason}",
            self.name,
            self.took.as_secs_f64()
        )
    }
}

fn with_heartbeat<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let started = Instant::now();
            while is_done.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
                println!(".. {name} still runs after {} s", started.elapsed().as_secs());
            }
        });
        let result = work();
        drop(done);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Report};

    #[test]
    fn every_step_runs_and_shows_in_the_table() {
        let mut report = Report::default();

        report.run("first", || Ok(Outcome::Failed));
        report.run("second one", || anyhow::bail!("no disk"));
        report.run("third", || Ok(Outcome::Skipped("no tool: install it".to_owned())));
        report.run("fourth", || Ok(Outcome::Passed));

        let table = report.table();
        assert_eq!(table.lines().count(), 4);
        assert!(
            table.contains("third           0.0 s  skipped  no tool: install it\n"),
            "{table}"
        );
        assert_eq!((report.failed_count(), report.skipped_count()), (2, 1));
    }
}
