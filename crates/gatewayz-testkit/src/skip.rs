//! The one way in which a test says that it could not check something here.

use std::fs::OpenOptions;
use std::io::Write;

/// Says that a check was left out, and why: a line on stderr, and the same line appended to the file that
/// `GATEWAYZ_SKIP_FILE` names, from which `cargo xtask test` counts and repeats it.
///
/// # Panics
/// When the file cannot be written: a skip that nobody hears of looks like a pass.
#[expect(clippy::print_stderr, reason = "a test speaks to the person who runs it")]
#[expect(clippy::disallowed_methods, reason = "tests have no settings loader")]
pub fn skip(name: &str, reason: &str) {
    let line = format!("SKIPPED: {name}: {reason}");
    eprintln!("{line}");
    if let Some(path) = std::env::var_os("GATEWAYZ_SKIP_FILE") {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("open the skip file");
        file.write_all(format!("{line}\n").as_bytes())
            .expect("write the skip file");
    }
}
