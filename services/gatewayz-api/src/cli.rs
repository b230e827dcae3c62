//! The command line: serve, or one of the small jobs around it.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use gatewayz_admin_auth::keygen;
use gatewayz_config::{ExposeSecret, Values};

use crate::server::{self, Server};
use crate::settings::{self, Settings};
use crate::state::State;
use crate::{banner, file_limits, health_check, openapi, wiring};

/// The exit status for settings that cannot be used: `EX_CONFIG` of sysexits.h.
const EXIT_SETTINGS: u8 = 78;
/// A process ended by signal N exits with this plus N, by the shells' convention.
const EXIT_SIGNAL: i32 = 128;

/// How long a process that fails may still deliver why.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);

/// An inference gateway whose every request leaves a metric, a log line and a trace that agree.
///
/// Settings come from environment variables and files; docs/CONFIGURATION.md lists them.
#[derive(Debug, Parser)]
#[command(name = "gatewayz-api", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Run the service (the default)
    Serve,
    /// Print every setting with its source, and every mistake; exits 78 on a mistake
    CheckConfig,
    /// Make an admin key and the digest to configure
    Keygen,
    /// Ask the service on this host for /ready; exits 1 when it is not (for containers)
    Healthcheck,
    /// Print the OpenAPI document
    Openapi,
}

/// Does what the arguments ask for.
///
/// # Errors
/// Whatever kept the command from its end.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(&settings::load()),
        Command::CheckConfig => check_config(&settings::load()),
        Command::Keygen => {
            let key = keygen().context("make an admin key")?;
            writeln!(
                io::stdout(),
                "ADMIN_API_KEY={}\nADMIN_API_KEYS_SHA256={}\n\n# Keep the first line for the callers; the service needs only the second.",
                key.plain.expose_secret(),
                key.hash_entry
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Healthcheck => health_check::run(&settings::load()),
        Command::Openapi => {
            writeln!(io::stdout(), "{:#}", openapi::document())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn serve(values: &Values) -> anyhow::Result<ExitCode> {
    let settings = match Settings::from_values(values) {
        Ok(settings) => settings,
        Err(mistakes) => {
            writeln!(io::stderr(), "{mistakes}")?;
            return Ok(ExitCode::from(EXIT_SETTINGS));
        }
    };
    let open_files = file_limits::raise_open_files();
    actix_web::rt::System::new().block_on(async {
        file_limits::survive_longest_file().context("watch for SIGXFSZ")?;
        let plane_registry = prometheus::Registry::new();
        let telemetry = wiring::start_telemetry(&settings, plane_registry.clone())?;
        // What was logged must not be lost when the start or the server fails.
        let _last_words = telemetry.shutdown_on_drop(LAST_WORDS_TIMEOUT);
        let wanted = server::open_files_wanted(&settings.server);
        if let Some(limit) = open_files.filter(|limit| *limit < wanted) {
            tracing::warn!(
                limit,
                wanted,
                "The process may open too few files for all connections; raise the hard limit (ulimit -Hn)"
            );
        }
        let server = start(settings, values, telemetry.clone(), plane_registry)?;
        let ended = server.run_until_stopped().await.context("serve")?;
        banner::farewell(&ended.telemetry)?;
        Ok(match ended.hurried_by {
            Some(signal) => ExitCode::from(u8::try_from(EXIT_SIGNAL + signal).unwrap_or(1)),
            None => ExitCode::SUCCESS,
        })
    })
}

fn start(
    settings: Settings,
    values: &Values,
    telemetry: gatewayz_telemetry::Telemetry,
    plane_registry: prometheus::Registry,
) -> anyhow::Result<Server> {
    let guard = wiring::admin_guard(&settings, &telemetry)?;
    let gateway = wiring::gateway(&settings, &telemetry)?;
    for warning in values.warnings() {
        tracing::warn!("{warning}");
    }
    let state = State::new(settings, values.describe(), telemetry, gateway, plane_registry);
    let state = Arc::new(state);
    let server = Server::bind(Arc::clone(&state), guard)?;
    banner::greeting(&state.settings, server.address())?;
    Ok(server)
}

fn check_config(values: &Values) -> anyhow::Result<ExitCode> {
    write!(io::stdout(), "{values}")?;
    for warning in values.warnings() {
        writeln!(io::stderr(), "warning: {warning}")?;
    }
    match Settings::from_values(values) {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(mistakes) => {
            writeln!(io::stderr(), "{mistakes}")?;
            Ok(ExitCode::from(EXIT_SETTINGS))
        }
    }
}
