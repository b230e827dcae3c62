//! User-space instructions per request, by callgrind: they repeat within one percent, so they are the gate.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::estimate::Estimate;
use super::facts::Facts;
use super::judge::Measured;
use super::limits::{
    Figure, INSTRUCTIONS, INSTRUCTIONS_BARE, INSTRUCTIONS_LEAN, INSTRUCTIONS_NESTED, INSTRUCTIONS_OF_SPAN,
    INSTRUCTIONS_USUAL, INSTRUCTIONS_USUAL_NESTED,
};
use super::load::{Load, Until};
use super::peers::{Peer, Setup};
use super::progress::Progress;
use super::receivers::Receivers;
use super::report::Reading;
use super::server::Server;
use super::{Bench, CONNECTIONS, Scale};
use crate::tools::has_valgrind;

const WARM_UP: u64 = 500;
/// Of each setup; the middle one counts. A process draws the seeds of its hash maps and the places of its buffers, which
/// moves a request by some 40 instructions.
const PROCESSES: usize = 3;

/// Counts each peer's instructions, and those of the peers that can open a span in the handler once more with it.
///
/// # Errors
/// When valgrind is missing or a run fails.
pub(crate) fn measure(bench: &Bench<'_>) -> Result<Reading> {
    let mut setups = Vec::new();
    for peer in &bench.peers {
        setups.push(peer.setup());
        if matches!(peer, Peer::Lean | Peer::Usual) {
            setups.push(nested(*peer));
        }
    }
    let mut counter = Counter::new(bench, &setups)?;
    let mut counts = Vec::new();
    for setup in setups {
        counts.push((setup, counter.per_request(setup)?));
    }
    let mut reading = counter.finish();
    let of = |setup: Setup| {
        counts
            .iter()
            .find(|(own, _)| *own == setup)
            .map(|(_, count)| *count)
    };
    let bare = of(Peer::Bare.setup()).context("count the instructions of bare")?;
    reading.put(Measured::once(&INSTRUCTIONS_BARE, bare));
    let over_bare: [(&'static Figure, Setup); 5] = [
        (&INSTRUCTIONS, Peer::Service.setup()),
        (&INSTRUCTIONS_LEAN, Peer::Lean.setup()),
        (&INSTRUCTIONS_NESTED, nested(Peer::Lean)),
        (&INSTRUCTIONS_USUAL, Peer::Usual.setup()),
        (&INSTRUCTIONS_USUAL_NESTED, nested(Peer::Usual)),
    ];
    for (figure, setup) in over_bare {
        if let Some(count) = of(setup) {
            reading.put(Measured::once(figure, count - bare));
        }
    }
    if let (Some(plain), Some(nested)) = (of(Peer::Lean.setup()), of(nested(Peer::Lean))) {
        reading.put(Measured::once(&INSTRUCTIONS_OF_SPAN, nested - plain));
    }
    Ok(reading)
}

fn nested(peer: Peer) -> Setup {
    Setup {
        nested: true,
        ..peer.setup()
    }
}

/// Counts in two runs each, so that the start and the end of the process fall out of the difference.
#[derive(Debug)]
pub(crate) struct Counter<'a> {
    target: &'a Path,
    few: u64,
    many: u64,
    bare: Option<f64>,
    reading: Reading,
    progress: Progress,
}

impl<'a> Counter<'a> {
    /// # Errors
    /// When valgrind is missing.
    pub(crate) fn new(bench: &'a Bench<'_>, setups: &[Setup]) -> Result<Self> {
        require_valgrind()?;
        let (few, many) = match bench.scale {
            Scale::Quick => (1_000, 5_000),
            Scale::Full => (2_000, 12_000),
        };
        let progress = Progress::start(setups.len() * 2 * PROCESSES);
        progress.say(&format!(
            "Instructions per request (user space, callgrind; from {few} to {many} requests, the middle of {PROCESSES} processes)"
        ));
        Ok(Self {
            target: &bench.target,
            few,
            many,
            bare: None,
            reading: Reading::default(),
            progress,
        })
    }

    /// Instructions of a request; the first that is asked for is what the others are held against.
    ///
    /// # Errors
    /// When a run fails.
    pub(crate) fn per_request(&mut self, setup: Setup) -> Result<f64> {
        let mut counts = Vec::new();
        let mut signals = String::new();
        for _ in 0..PROCESSES {
            let (base, _) = self.count(setup, self.few)?;
            let (total, facts) = self.count(setup, self.many)?;
            counts.push(total.saturating_sub(base) as f64 / (self.many - self.few) as f64);
            // The usual composition loses spans, which is no mistake of ours.
            if setup.signals().metric {
                self.reading.agreed(facts.agree());
            }
            signals = facts.to_string();
        }
        let estimate = Estimate::of(counts);
        let per_request = estimate.median;
        let bare = *self.bare.get_or_insert(per_request);
        self.progress.say(&format!(
            "  {:<26} {per_request:>8.0}  {:>+8.0}  {:>5.2} x   spread {:.1} %, {signals}",
            setup.name(),
            per_request - bare,
            per_request / bare,
            estimate.spread() * 100.0
        ));
        Ok(per_request)
    }

    /// What the runs said of the signals.
    pub(crate) fn finish(self) -> Reading {
        self.reading
    }

    /// All instructions of one process that answers `WARM_UP + requests` requests.
    fn count(&self, setup: Setup, requests: u64) -> Result<(u64, Facts)> {
        self.progress.step(&setup.name());
        let receivers = Receivers::start();
        let name = setup.name().replace(' ', "-");
        let profile = self.target.join(format!("bench-{name}-{requests}.callgrind"));
        let server = Server::start(&mut setup.command(&callgrind(&profile), self.target, &receivers)?)?;
        let mut load = Load::connect(server.address, CONNECTIONS)?.over(setup.routes);
        // Each route is resolved once.
        let warm_up = WARM_UP.max(setup.routes as u64);
        load.run(Until::Requests(warm_up))?;
        load.run(Until::Requests(requests))?;
        drop(load);
        let facts = Facts::gather(setup, warm_up + requests, server, &receivers)?;
        Ok((total(&profile)?, facts))
    }
}

/// # Errors
/// When valgrind is missing.
pub(crate) fn require_valgrind() -> Result<()> {
    ensure!(
        has_valgrind(),
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
