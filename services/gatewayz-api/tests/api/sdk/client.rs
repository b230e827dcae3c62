//! Runs a script of `tests/sdk` with its SDK.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gatewayz_testkit::process::Service;
use gatewayz_testkit::tools::{node_modules_with, program, python_with};
use tempfile::TempDir;

/// An interpreter on a busy machine takes seconds to load an SDK.
const DEADLINE: Duration = Duration::from_secs(60);

/// One of the official clients.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sdk {
    Python,
    PythonAsync,
    Node,
}

/// An SDK that is on this machine.
pub(super) struct Ready {
    sdk: Sdk,
    program: PathBuf,
    scripts: PathBuf,
    _directory: Option<TempDir>,
}

impl Sdk {
    /// Finds the interpreter and the package.
    ///
    /// # Errors
    /// A reason to skip.
    pub(super) fn find(self) -> Result<Ready, String> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk");
        match self {
            Self::Python | Self::PythonAsync => Ok(Ready {
                sdk: self,
                program: python_with(&["openai"])?,
                scripts,
                _directory: None,
            }),
            Self::Node => {
                let modules = node_modules_with(&["openai"])?;
                let directory = beside(&modules, &scripts);
                Ok(Ready {
                    sdk: self,
                    program: program("node").ok_or("node is not on the PATH")?,
                    scripts: directory.path().to_owned(),
                    _directory: Some(directory),
                })
            }
        }
    }
}

impl Ready {
    /// Runs a script to its end; what it found wrong fails the test.
    #[track_caller]
    pub(super) fn run(&self, script: &str, arguments: &[&str]) {
        let script = match self.sdk {
            Sdk::Python => format!("{script}.py"),
            Sdk::PythonAsync => format!("{script}_async.py"),
            Sdk::Node => format!("{script}.mjs"),
        };
        let arguments: Vec<&str> = [script.as_str()].iter().chain(arguments).copied().collect();
        // The checkout stays as it is.
        let environment = [("PYTHONDONTWRITEBYTECODE", "1")];
        let mut process = Service::start(&self.program, &arguments, &environment, &self.scripts).unwrap();

        let exit = process.wait_exit(DEADLINE).unwrap();

        let said = process.stderr().join("\n");
        assert!(exit.success(), "{script}: {exit}\n{said}");
    }
}

/// A folder with the scripts: an import looks for its package beside the script.
fn beside(modules: &Path, scripts: &Path) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    symlink(
        modules.canonicalize().unwrap(),
        directory.path().join("node_modules"),
    )
    .unwrap();
    for entry in fs::read_dir(scripts).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "mjs") {
            fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    directory
}
