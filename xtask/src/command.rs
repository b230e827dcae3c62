//! Running other programs in the workspace.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use anyhow::{Context, Result};

/// `program arguments…` in the workspace root.
pub(crate) fn command(root: &Path, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root);
    command
}

/// Runs with the caller's output and returns whether it succeeded.
///
/// # Errors
/// When the program cannot be started.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool> {
    Ok(command
        .status()
        .with_context(|| start_failure(command))?
        .success())
}

/// Whether a program is there and answers this with success, in silence.
pub(crate) fn answers(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> bool {
    let probe = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    probe.is_ok_and(|status| status.success())
}

/// Runs, shows stdout and stderr while they come, and returns both as one text.
///
/// # Errors
/// When the program cannot be started or its output cannot be read.
pub(crate) fn show_and_keep(command: &mut Command) -> Result<(ExitStatus, String)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| start_failure(command))?;
    let stdout = child.stdout.take().context("take the stdout of the child")?;
    let stderr = child.stderr.take().context("take the stderr of the child")?;
    let stderr = thread::spawn(move || tee(stderr, io::stderr()));
    let mut text = tee(stdout, io::stdout()).context("read the stdout of the child")?;
    let stderr = stderr
        .join()
        .map_err(|_| anyhow::anyhow!("copy the stderr of the child"))?;
    text.push('\n');
    text.push_str(&stderr.context("read the stderr of the child")?);
    Ok((child.wait().context("wait for the child")?, text))
}

fn tee(mut from: impl Read, mut to: impl Write) -> io::Result<String> {
    let mut kept = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let length = from.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else {
            return Ok(String::from_utf8_lossy(&kept).into_owned());
        };
        to.write_all(bytes)?;
        to.flush()?;
        kept.extend_from_slice(bytes);
    }
}

fn start_failure(command: &Command) -> String {
    format!("start {}", command.get_program().to_string_lossy())
}
