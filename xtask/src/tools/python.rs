//! The Python of the tests: an environment in `target/venv` with the packages of one committed list.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{apt, is_debian_root};
use crate::command::{answers, command, succeeds};
use crate::scratch;
use crate::steps::Outcome;

const REQUIREMENTS: &str = "services/gatewayz-api/tests/sdk/requirements.txt";
const IMPORTS: &str = "import llmock, openai, prometheus_client.openmetrics.parser";

/// The Python of `target/venv` when it has exactly the packages of the list.
pub(crate) fn python(root: &Path) -> Option<PathBuf> {
    let wanted = fs::read(root.join(REQUIREMENTS)).ok()?;
    let installed = fs::read(installed_list(root)).ok()?;
    let python = environment(root).join("bin/python");
    (installed == wanted && answers(&python, &["-c", IMPORTS])).then_some(python)
}

/// Finds the Python environment, or creates it anew.
///
/// # Errors
/// When Python cannot be started, or an installation that was asked for fails.
pub(crate) fn python_environment(root: &Path, install: bool) -> Result<Outcome> {
    if python(root).is_some() {
        return Ok(Outcome::Passed);
    }
    let by_hand = "cargo xtask test --install";
    if !install {
        let reason = format!("target/venv is missing or has other packages: {by_hand}");
        return Ok(Outcome::Skipped(reason));
    }
    if !answers("python3", &["-c", "import ensurepip, venv"]) && is_debian_root() {
        let packages = [
            "install",
            "-y",
            "--no-install-recommends",
            "python3",
            "python3-venv",
        ];
        anyhow::ensure!(apt(root, &["update"])? && apt(root, &packages)?, "install Python");
    }
    let directory = environment(root);
    let path = directory
        .to_str()
        .context("read the path of the workspace as UTF-8")?;
    anyhow::ensure!(
        succeeds(&mut command(root, "python3", &["-m", "venv", "--clear", path]))?,
        "create target/venv"
    );
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
        REQUIREMENTS,
    ];
    let python_path = directory.join("bin/python");
    anyhow::ensure!(
        succeeds(&mut command(root, &python_path.to_string_lossy(), &pip))?,
        "install the packages of {REQUIREMENTS}"
    );
    // Last: an installation that broke off has no list.
    fs::copy(root.join(REQUIREMENTS), installed_list(root)).context("keep the list of packages")?;
    Ok(python(root).is_some().into())
}

fn environment(root: &Path) -> PathBuf {
    scratch(root).join("venv")
}

fn installed_list(root: &Path) -> PathBuf {
    environment(root).join("requirements.txt")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn an_environment_with_another_list_is_not_taken() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let list = root.join(REQUIREMENTS);
        fs::create_dir_all(list.parent().unwrap()).unwrap();
        fs::create_dir_all(environment(root).join("bin")).unwrap();
        symlink("/bin/true", environment(root).join("bin/python")).unwrap();
        fs::write(&list, "openai==1").unwrap();
        assert_eq!(python(root), None);

        fs::copy(&list, installed_list(root)).unwrap();
        assert_eq!(python(root), Some(environment(root).join("bin/python")));

        fs::write(&list, "openai==2").unwrap();
        assert_eq!(python(root), None);
    }
}
