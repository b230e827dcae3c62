//! `stack`: what the compose stack needs from the machine it runs on.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use clap::Subcommand;

/// Ignored by git, read by docker-compose.yml when it is there.
const SECRETS: &str = "deploy/env/secrets.env";

/// What to do.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Step {
    /// Write deploy/env/secrets.env with a random admin password for Grafana, which turns its admin login on.
    ///
    /// A file that is there stays as it is: Grafana takes the password once, when it makes the account.
    Init,
}

/// Does the step.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn stack(root: &Path, step: Step) -> Result<bool> {
    match step {
        Step::Init => init(root)?,
    }
    Ok(true)
}

fn init(root: &Path) -> Result<()> {
    let text = secrets(&password());
    // Nobody else may read it, from its first moment on.
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(root.join(SECRETS));
    let mut file = match opened {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            println!("{SECRETS} is there already; it stays as it is");
            return Ok(());
        }
        opened => opened.with_context(|| format!("create {SECRETS}"))?,
    };
    file.write_all(text.as_bytes())
        .with_context(|| format!("write {SECRETS}"))?;
    println!("wrote {SECRETS}: the password of Grafana's admin; `docker compose up -d` turns the login on");
    Ok(())
}

/// 128 random bits in hexadecimal digits, which no shell and no env file reads as anything else.
fn password() -> String {
    // The generator is seeded by the system and made for secrets.
    format!("{:032x}", rand::random::<u128>())
}

fn secrets(password: &str) -> String {
    format!(
        "# Of this machine alone; made by `cargo xtask stack init`.\n\
         GF_SECURITY_ADMIN_USER=admin\n\
         GF_SECURITY_ADMIN_PASSWORD={password}\n\
         GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION=false\n\
         GF_AUTH_DISABLE_LOGIN_FORM=false\n\
         GF_AUTH_BASIC_ENABLED=true\n"
    )
}

#[cfg(test)]
mod tests;
