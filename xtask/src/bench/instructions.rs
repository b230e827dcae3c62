//! User-space instructions per request, by callgrind: they repeat within one percent, so they are the gate.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use gatewayz_testkit::otlp::Receiver;

use super::facts::Facts;
use super::load::{Load, Until};
use super::peers::Peer;
use super::server::Server;
use super::{CONNECTIONS, Scale};
use crate::command::answers;

/// Most instructions of a request, as a multiple of bare.
const MUST_RATIO: f64 = 1.35;
/// What is aimed at on top of bare.
const AIM_EXTRA: f64 = 6_000.0;
const WARM_UP: u64 = 500;

/// Counts each peer's instructions and holds the service against its limit.
///
/// # Errors
/// When valgrind is missing or a run fails.
pub(crate) fn measure(target: &Path, peers: &[Peer], scale: Scale) -> Result<bool> {
    require_valgrind()?;
    let (few, many) = match scale {
        Scale::Quick => (1_000, 5_000),
        Scale::Full => (2_000, 12_000),
    };
    println!("\nInstructions per request (user space, callgrind; from {few} to {many} requests)");
    let mut bare = None;
    let mut passed = true;
    for peer in peers {
        let (base, _) = count(*peer, few, target)?;
        let (total, facts) = count(*peer, many, target)?;
        let per_request = total.saturating_sub(base) as f64 / (many - few) as f64;
        let Some(bare) = bare else {
            println!("  {:<14} {per_request:>8.0}", peer.name());
            bare = Some(per_request);
            continue;
        };
        let extra = per_request - bare;
        let ratio = per_request / bare;
        println!(
            "  {:<14} {per_request:>8.0}  {extra:>+8.0}  {ratio:>5.2} x   {facts}",
            peer.name()
        );
        if matches!(peer, Peer::Service | Peer::Lean) {
            let within = ratio <= MUST_RATIO;
            println!(
                "  {:<14} {} of {MUST_RATIO:.2} x; the aim of {AIM_EXTRA:+.0} is {}",
                "",
                if within {
                    "within the limit"
                } else {
                    "ABOVE THE LIMIT"
                },
                if extra <= AIM_EXTRA { "met" } else { "not met" }
            );
            passed &= within && facts.agree();
        }
    }
    Ok(passed)
}

/// All instructions of one process that answers `WARM_UP + requests` requests.
fn count(peer: Peer, requests: u64, target: &Path) -> Result<(u64, Facts)> {
    let receiver = Receiver::counting();
    let profile = target.join(format!("bench-{}-{requests}.callgrind", peer.name()));
    let server = Server::start(&mut peer.command(&callgrind(&profile), target, &receiver)?)?;
    let mut load = Load::connect(server.address, CONNECTIONS)?;
    load.run(Until::Requests(WARM_UP))?;
    load.run(Until::Requests(requests))?;
    drop(load);
    let facts = Facts::gather(peer, WARM_UP + requests, server, &receiver)?;
    Ok((total(&profile)?, facts))
}

/// # Errors
/// When valgrind is missing.
pub(crate) fn require_valgrind() -> Result<()> {
    ensure!(
        answers("valgrind", &["--version"]),
        "count instructions: valgrind is missing; on Debian: apt-get install valgrind"
    );
    Ok(())
}

/// What is put before a command to count its instructions into `profile`.
pub(crate) fn callgrind(profile: &Path) -> [String; 4] {
    [
        "valgrind".to_owned(),
        "--tool=callgrind".to_owned(),
        "--quiet".to_owned(),
        format!("--callgrind-out-file={}", profile.display()),
    ]
}

/// All instructions that a profile tells of.
///
/// # Errors
/// When there is no such profile, or no total in it.
pub(crate) fn total(profile: &Path) -> Result<u64> {
    let text = fs::read_to_string(profile).with_context(|| format!("read {}", profile.display()))?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("totals: "))
        .context("find the total in the profile")?;
    total.trim().parse().context("read the total of the profile")
}
