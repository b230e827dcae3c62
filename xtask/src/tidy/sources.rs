//! Rust files: opened by what they are, and short enough to be one thing.

use super::Finding;
use super::tree::Tree;

const MAX_LINES: usize = 400;
const MAX_TEST_LINES: usize = 1000;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.texts_ending(".rs")
        .flat_map(|(path, text)| check_file(path, text))
        .collect()
}

fn check_file(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !(text.starts_with("//! ") || text.starts_with("#![doc = include_str!(")) {
        findings.push(Finding::new(
            path,
            1,
            "does not say what it is; open it with a `//!` line",
        ));
    }
    let (lines, limit, what) = if is_test_file(path) {
        (text.lines().count(), MAX_TEST_LINES, "lines")
    } else {
        (
            text.lines()
                .take_while(|line| !line.starts_with("#[cfg(test)]"))
                .count(),
            MAX_LINES,
            "lines before the tests",
        )
    };
    if lines > limit {
        let message = format!("has {lines} {what}, more than {limit}; split it along its subjects");
        findings.push(Finding::new(path, 0, message));
    }
    findings
}

fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
}

#[cfg(test)]
mod tests {
    use super::check_file;

    #[track_caller]
    fn finds(path: &str, text: &str, expected: &[&str]) {
        let lines: Vec<_> = check_file(path, text).iter().map(ToString::to_string).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_file_opens_with_what_it_is() {
        finds("a/src/b.rs", "//! A queue.\n", &[]);
        finds("a/src/lib.rs", "#![doc = include_str!(\"../README.md\")]\n", &[]);
        finds(
            "a/src/b.rs",
            "use c;\n",
            &["a/src/b.rs:1: does not say what it is; open it with a `//!` line"],
        );
    }

    #[test]
    fn tests_at_the_end_do_not_count() {
        let code = format!("//! A queue.\n{}", "//\n".repeat(399));
        finds(
            "a/src/b.rs",
            &format!("{code}#[cfg(test)]\n{}", "//\n".repeat(500)),
            &[],
        );
        finds(
            "a/src/b.rs",
            &format!("{code}//\n"),
            &["a/src/b.rs: has 401 lines before the tests, more than 400; split it along its subjects"],
        );
    }

    #[test]
    fn a_test_file_may_be_longer() {
        let lines = format!("//! Tests.\n{}", "//\n".repeat(999));
        finds("a/tests/b.rs", &lines, &[]);
        finds("a/src/b/tests.rs", &lines, &[]);
        finds(
            "a/tests/b.rs",
            &format!("{lines}//\n"),
            &["a/tests/b.rs: has 1001 lines, more than 1000; split it along its subjects"],
        );
    }
}
