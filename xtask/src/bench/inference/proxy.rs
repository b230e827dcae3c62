//! The processes of the inference path: the provider, and what stands before it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::super::peers::Peer;
use super::super::receivers::Receivers;
use super::super::server::Server;

pub(super) const FLOOR: &str = "inference-floor";
pub(super) const PROVIDER: &str = "mock-provider";
/// The model that is asked for, here and there.
pub(super) const MODEL: &str = "mock-1";

/// What stands between the load and the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proxy {
    /// actix-web and reqwest, which read the body and look for usage, without telemetry.
    Floor,
    /// gatewayz-api with all three signals for every call.
    Service,
}

impl Proxy {
    pub(super) const ALL: [Self; 2] = [Self::Floor, Self::Service];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Service => Peer::Service.name(),
        }
    }

    /// The command that starts it on a free port with one worker before `provider`, exporting to `receivers`.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub(super) fn command(
        self,
        wrapper: &[String],
        target: &Path,
        provider: SocketAddr,
        receivers: &Receivers,
    ) -> Result<Command> {
        match self {
            Self::Floor => {
                let url = format!("http://{provider}/v1/chat/completions");
                peer(wrapper, target, FLOOR, &["127.0.0.1:0", &url])
            }
            Self::Service => {
                let catalog = catalog(target);
                fs::write(&catalog, catalog_text(provider))
                    .with_context(|| format!("write {}", catalog.display()))?;
                let mut command = Peer::Service.setup().command(wrapper, target, receivers)?;
                command.env("CATALOG_FILE", catalog);
                Ok(command)
            }
        }
    }
}

/// Starts the provider, which rests between two events of a stream, on the cores of this thread.
///
/// # Errors
/// When it does not start.
pub(super) fn start_provider(target: &Path, pause: Duration) -> Result<Server> {
    let pause = pause.as_millis().to_string();
    Server::start(&mut peer(&[], target, PROVIDER, &["127.0.0.1:0", &pause])?)
}

/// The file that names the provider to the service.
pub(super) fn catalog(target: &Path) -> PathBuf {
    target.join("bench-catalog.toml")
}

fn catalog_text(provider: SocketAddr) -> String {
    format!(
        r#"
[[providers]]
name = "mock"
kind = "openai"
base_url = "http://{provider}/v1"
probe = false

[[models]]
id = "{MODEL}"
kind = "chat"

[[models.candidates]]
provider = "mock"
model = "{MODEL}"
price = {{ input = 0.40, cached_input = 0.10, output = 1.60 }}
"#
    )
}

fn peer(wrapper: &[String], target: &Path, package: &str, arguments: &[&str]) -> Result<Command> {
    let binary = target.join("bench-peers/release").join(package);
    let binary = binary.to_str().context("read the path of the build as UTF-8")?;
    let program = [wrapper, &[binary.to_owned()]].concat();
    let (program, wrapped) = program.split_first().context("name the program")?;
    let mut command = Command::new(program);
    command.args(wrapped).args(arguments).env_clear();
    Ok(command)
}
