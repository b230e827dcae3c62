//! The gatewayz-api service.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use gatewayz_api::cli::{self, Arguments};

fn main() -> ExitCode {
    match cli::run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "gatewayz-api: {error:#}");
            ExitCode::FAILURE
        }
    }
}
