//! The one way in which a test says that it could not check something here.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Says that a check was left out, and why: a line on stderr, and the same line appended to the file that
/// `GATEWAYZ_SKIP_FILE` names, from which `cargo xtask test` counts and repeats it. Call it once in a test, which
/// then returns: each line counts as one skipped test.
///
/// # Panics
/// When the file cannot be written: a skip that nobody hears of looks like a pass.
#[expect(clippy::print_stderr, reason = "a test speaks to the person who runs it")]
#[expect(clippy::disallowed_methods, reason = "tests have no settings loader")]
pub fn skip(name: &str, reason: &str) {
    let line = format!("SKIPPED: {name}: {reason}");
    eprintln!("{line}");
    if let Some(path) = std::env::var_os("GATEWAYZ_SKIP_FILE") {
        append(Path::new(&path), &line);
    }
}

fn append(path: &Path, line: &str) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .expect("open the skip file");
    // One write per line: tests in other processes append to the same file.
    file.write_all(format!("{line}\n").as_bytes())
        .expect("write the skip file");
}

#[cfg(test)]
mod tests {
    use super::append;

    #[test]
    fn every_skip_has_a_line_of_its_own() {
        let file = tempfile::NamedTempFile::new().unwrap();

        append(file.path(), "SKIPPED: a: no tool");
        append(file.path(), "SKIPPED: b: no tool");

        let text = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(text, "SKIPPED: a: no tool\nSKIPPED: b: no tool\n");
    }
}
