//! The machine: what it is, and whether something else used it meanwhile.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

use anyhow::{Context, Result, ensure};

/// Most that other processes may take, in cores.
const FOREIGN_MAX: f64 = 0.1;
/// Most that the machine under this one may take, as a share of all cores.
const STEAL_MAX: f64 = 0.02;

/// What the figures were measured on, as name and text, for the document.
///
/// # Errors
/// When the system does not say.
pub(crate) fn facts() -> Result<Vec<(String, String)>> {
    let cores = available_parallelism().context("count the cores")?;
    let processors = fs::read_to_string("/proc/cpuinfo").context("read the model of the processor")?;
    let model = processors
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| matches!(name.trim(), "model name" | "Model"))
        .map_or("unknown", |(_, model)| model.trim());
    let kernel =
        fs::read_to_string("/proc/sys/kernel/osrelease").context("read the version of the kernel")?;
    let rustc = Command::new("rustc")
        .arg("--version")
        .output()
        .context("start rustc")?;
    ensure!(rustc.status.success(), "ask rustc for its version");
    let rustc = String::from_utf8_lossy(&rustc.stdout);
    // The commit and its date say no more.
    let rustc = rustc.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    Ok([
        ("Processor", model.to_owned()),
        ("Cores", cores.to_string()),
        (
            "Kernel",
            format!("Linux {}", kernel.split(['-', '\n']).next().unwrap_or_default()),
        ),
        ("Compiler", rustc),
    ]
    .map(|(name, text)| (name.to_owned(), text))
    .into())
}

/// Watches the time of a measurement.
#[derive(Debug)]
pub(crate) struct Watch(Ticks);

/// CPU time since the machine started, in the clock ticks of `/proc`.
#[derive(Debug, Clone, Copy)]
struct Ticks {
    /// All states of all cores.
    all: f64,
    /// User and system of all processes.
    busy: f64,
    stolen: f64,
    /// User and system of this process and those it has waited for.
    own: f64,
}

impl Watch {
    /// # Errors
    /// When `/proc` does not show it.
    pub(crate) fn start() -> Result<Self> {
        Ticks::read().map(Self)
    }

    /// What disturbed the time since the start, if anything did. Every process started meanwhile must have ended and
    /// been waited for.
    ///
    /// # Errors
    /// When `/proc` does not show it.
    pub(crate) fn end(self) -> Result<Option<String>> {
        let cores = available_parallelism().context("count the cores")?.get();
        Ok(disturbance(self.0, Ticks::read()?, cores as f64))
    }
}

impl Ticks {
    fn read() -> Result<Self> {
        let all = fs::read_to_string(Path::new("/proc/stat")).context("read the CPU time of the machine")?;
        let own =
            fs::read_to_string(Path::new("/proc/self/stat")).context("read the CPU time of this process")?;
        Self::parse(&all, &own).context("read CPU times")
    }

    fn parse(all: &str, own: &str) -> Option<Self> {
        let states: Vec<f64> = all
            .lines()
            .next()?
            .strip_prefix("cpu ")?
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .ok()?;
        // user, nice, system, idle, iowait, irq, softirq, steal; what follows is part of the first two.
        let [user, nice, system, _, _, _, _, stolen] = *states.first_chunk()?;
        // The name of the process is in parentheses and may hold anything.
        let (_, after_name) = own.rsplit_once(") ")?;
        // utime, stime, cutime and cstime are the fields 14 to 17; the first after the name is 3.
        let own: Vec<f64> = after_name
            .split(' ')
            .skip(11)
            .take(4)
            .map(str::parse)
            .collect::<Result<_, _>>()
            .ok()?;
        Some(Self {
            all: states.iter().take(8).sum(),
            busy: user + nice + system,
            stolen,
            own: own.iter().sum(),
        })
    }
}

fn disturbance(start: Ticks, end: Ticks, cores: f64) -> Option<String> {
    let all = end.all - start.all;
    let foreign = ((end.busy - start.busy) - (end.own - start.own)) / all * cores;
    let stolen = (end.stolen - start.stolen) / all;
    if foreign > FOREIGN_MAX {
        return Some(format!("other processes took {foreign:.2} of a core"));
    }
    (stolen > STEAL_MAX).then(|| format!("the host took {:.0} % of the machine away", stolen * 100.0))
}

#[cfg(test)]
mod tests {
    use super::{Ticks, disturbance};

    const OWN: &str = "7 (a ) b) S 1 7 7 0 -1 4194304 9 9 0 0 100 20 300 80 20 0 1 0 5 6 7\n";

    #[track_caller]
    fn ticks(all: &str) -> Ticks {
        Ticks::parse(&format!("cpu  {all} 0 0\ncpu0 1 1\n"), OWN).unwrap()
    }

    #[test]
    fn the_own_time_includes_that_of_processes_waited_for() {
        assert!((ticks("1 2 3 4 5 6 7 8").own - 500.0).abs() < 1e-9);
    }

    #[test]
    fn time_of_others_and_of_the_host_disturbs() {
        let start = ticks("0 0 0 0 0 0 0 0");
        for (end, expected) in [
            ("40 0 0 1960 0 0 0 0", None),
            (
                "100 50 50 1800 0 0 0 0",
                Some("other processes took 0.20 of a core"),
            ),
            (
                "0 0 0 1900 0 0 0 100",
                Some("the host took 5 % of the machine away"),
            ),
        ] {
            assert_eq!(disturbance(start, ticks(end), 2.0).as_deref(), expected);
        }
    }
}
