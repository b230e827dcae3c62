//! Where a measurement is: a bar on a terminal, and the lines it says above it.

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar of steps; it vanishes when dropped.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn start(steps: usize) -> Self {
        let bar = ProgressBar::new(steps as u64);
        if let Ok(style) = style() {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Begins a step.
    pub(crate) fn step(&self, name: &str) {
        self.0.set_message(name.to_owned());
        self.0.inc(1);
    }

    /// Prints a line, terminal or not.
    pub(crate) fn say(&self, line: &str) {
        self.0.suspend(|| println!("{line}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn style() -> Result<ProgressStyle> {
    Ok(ProgressStyle::with_template("{wide_bar} {pos}/{len}  {msg}")?)
}
