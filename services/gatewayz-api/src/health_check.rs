//! `gatewayz-api healthcheck`: asks the service on this host, for images without a shell.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use gatewayz_config::Values;

use crate::settings::Settings;

const TIMEOUT: Duration = Duration::from_secs(3);
/// A status line is all that is read.
const ANSWER_MAX_BYTES: u64 = 1024;

/// Success when `/ready` answers 200.
///
/// # Errors
/// When the settings cannot be read or nobody answers.
pub fn run(values: &Values) -> anyhow::Result<ExitCode> {
    let settings = Settings::from_values(values).map_err(|mistakes| anyhow::anyhow!("{mistakes}"))?;
    let address = SocketAddr::new(reachable(settings.server.host), settings.server.port);
    let answer = ask(address).with_context(|| format!("ask http://{address}/ready"))?;
    let status = answer.split_ascii_whitespace().nth(1).unwrap_or_default();
    if status == "200" {
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(io::stderr(), "http://{address}/ready answered {status}")?;
    Ok(ExitCode::FAILURE)
}

/// A service that listens on every address is asked on the loopback one.
fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        host => host,
    }
}

fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(
        stream,
        "GET /ready HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX_BYTES).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
