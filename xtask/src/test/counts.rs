//! Numbers of passed, failed and skipped tests, read from what the runners print.

use std::fmt;

/// Sums over every test run, and over the steps that are no tests, so that a failed lint is not hidden behind
/// `0 failed`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
}

impl Counts {
    /// Adds what one runner printed: the summary of nextest or the `test result` lines of `cargo test`.
    ///
    /// A run that failed without a failing test, as when a test does not compile, counts as one failure.
    pub(super) fn add_run(&mut self, output: &str, succeeded: bool) {
        let failed_before = self.failed;
        // nextest repeats the output of failed tests, result lines of their runner included.
        if let Some(summary) = output.lines().rev().find_map(nextest_summary) {
            without_parentheses(summary)
                .split(',')
                .for_each(|part| self.add_part(part));
        } else {
            let results = output
                .lines()
                .filter_map(|line| line.strip_prefix("test result: "));
            results
                .flat_map(|result| result.split([';', '.']))
                .for_each(|part| self.add_part(part));
        }
        if !succeeded && self.failed == failed_before {
            self.failed += 1;
        }
    }

    /// A test that skips itself has passed for its runner.
    pub(super) fn move_to_skipped(&mut self, count: usize) {
        self.passed = self.passed.saturating_sub(count);
        self.skipped += count;
    }

    fn add_part(&mut self, part: &str) {
        let Some((number, what)) = part.trim().split_once(' ') else {
            return;
        };
        let Ok(number) = number.parse::<usize>() else {
            return;
        };
        match what.trim() {
            "passed" => self.passed += number,
            "failed" | "exec failed" | "timed out" => self.failed += number,
            "skipped" | "ignored" => self.skipped += number,
            _ => {}
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(formatter, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// `24 passed, 1 failed` of `Summary [   0.123s] 25 tests run: 24 passed, 1 failed`.
fn nextest_summary(line: &str) -> Option<&str> {
    let (_, numbers) = line.trim_start().strip_prefix("Summary [")?.split_once("run: ")?;
    Some(numbers)
}

fn without_parentheses(text: &str) -> String {
    let mut depth = 0_usize;
    text.chars()
        .filter(|symbol| {
            match symbol {
                '(' => depth += 1,
                ')' => {
                    depth = depth.saturating_sub(1);
                    return false;
                }
                _ => {}
            }
            depth == 0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[track_caller]
    fn check(output: &str, succeeded: bool, expected: &str) {
        let mut counts = Counts::default();
        counts.add_run(output, succeeded);
        assert_eq!(counts.to_string(), expected);
    }

    #[test]
    fn the_summary_of_nextest_is_read() {
        check(
            "    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 2 filtered out\n\
             test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 2 filtered out\n\
             \x20    Summary [   0.123s] 28 tests run: 24 passed (1 slow, 2 leaky), 1 failed, 2 exec failed, \
             1 timed out, 3 skipped\n",
            false,
            "24 passed, 4 failed, 3 skipped",
        );
    }

    #[test]
    fn the_results_of_cargo_test_are_summed() {
        check(
            "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 9 filtered out; finished in 0.00s\n\
             test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.25s\n",
            false,
            "6 passed, 3 failed, 1 skipped",
        );
    }

    #[test]
    fn a_run_that_does_not_compile_is_a_failure() {
        check(
            "error: could not compile `gatewayz-api`\n",
            false,
            "0 passed, 1 failed, 0 skipped",
        );
    }

    #[test]
    fn a_test_that_skips_itself_is_skipped_and_not_passed() {
        let mut counts = Counts {
            passed: 5,
            failed: 0,
            skipped: 1,
        };

        counts.move_to_skipped(2);

        assert_eq!(counts.to_string(), "3 passed, 0 failed, 3 skipped");
    }
}
