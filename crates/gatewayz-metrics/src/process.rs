//! Figures of the process itself, read when the page is read.
//!
//! They come from procfs; elsewhere than on Linux only `process_cpu_cores` has a sample.

use crate::collect::Samples;
use crate::family::{Family, Unit};
use crate::registry::Registry;
use crate::series::SeriesError;

const CPU_SECONDS: Family = Family::counter(
    "process_cpu_seconds_total",
    "User and system CPU time of the process.",
    &[],
)
.with_unit(Unit::Seconds);
const CPU_CORES: Family = Family::gauge(
    "process_cpu_cores",
    "Cores the process may use, container limits included.",
    &[],
);
const RESIDENT_MEMORY: Family = Family::gauge(
    "process_resident_memory_bytes",
    "Memory of the process that is in RAM.",
    &[],
)
.with_unit(Unit::Bytes);
const VIRTUAL_MEMORY: Family = Family::gauge(
    "process_virtual_memory_bytes",
    "Address space of the process.",
    &[],
)
.with_unit(Unit::Bytes);
const OPEN_FDS: Family = Family::gauge("process_open_fds", "Open file descriptors.", &[]);
const MAX_FDS: Family = Family::gauge(
    "process_max_fds",
    "Most file descriptors the process may open; +Inf without a limit.",
    &[],
);
const THREADS: Family = Family::gauge("process_threads", "Threads of the process.", &[]);
const START_TIME: Family = Family::gauge(
    "process_start_time_seconds",
    "When the process started, since the Unix epoch.",
    &[],
)
.with_unit(Unit::Seconds);

/// Families that [`register`] feeds; pass them to [`Registry::new`].
pub const FAMILIES: &[Family] = &[
    CPU_SECONDS,
    CPU_CORES,
    RESIDENT_MEMORY,
    VIRTUAL_MEMORY,
    OPEN_FDS,
    MAX_FDS,
    THREADS,
    START_TIME,
];

/// Adds the process figures to every page. One that cannot be read has no sample on that page.
///
/// # Errors
/// [`FAMILIES`] are not in the registry's catalog.
pub fn register(registry: &Registry) -> Result<(), SeriesError> {
    // Read once: derived from the wall clock, it would wander when the clock is adjusted.
    let start_seconds = operating_system::start_seconds();
    let collect = move |samples: &mut Samples<'_>| collect(samples, start_seconds);
    registry.collector(FAMILIES, Box::new(collect))
}

fn collect(samples: &mut Samples<'_>, start_seconds: Option<f64>) {
    if let Some(start_seconds) = start_seconds {
        samples.gauge(&START_TIME, &[], start_seconds);
    }
    if let Ok(cores) = std::thread::available_parallelism() {
        samples.gauge(&CPU_CORES, &[], cores.get() as f64);
    }
    operating_system::collect(samples);
}

#[cfg(not(target_os = "linux"))]
mod operating_system {
    pub(super) fn start_seconds() -> Option<f64> {
        None
    }

    pub(super) fn collect(_samples: &mut crate::collect::Samples<'_>) {}
}

#[cfg(target_os = "linux")]
mod operating_system {
    use procfs::process::{LimitValue, Process};

    use super::{CPU_SECONDS, MAX_FDS, OPEN_FDS, RESIDENT_MEMORY, THREADS, VIRTUAL_MEMORY};
    use crate::collect::Samples;

    pub(super) fn start_seconds() -> Option<f64> {
        let stat = Process::myself().ok()?.stat().ok()?;
        let boot_seconds = procfs::boot_time_secs().ok()? as f64;
        Some(boot_seconds + stat.starttime as f64 / procfs::ticks_per_second().max(1) as f64)
    }

    pub(super) fn collect(samples: &mut Samples<'_>) {
        let Ok(process) = Process::myself() else { return };
        let ticks_per_second = procfs::ticks_per_second().max(1);
        if let Ok(stat) = process.stat() {
            let nanos_per_tick = 1_000_000_000 / ticks_per_second;
            samples.counter(
                &CPU_SECONDS,
                &[],
                (stat.utime + stat.stime).saturating_mul(nanos_per_tick),
            );
            samples.gauge(
                &RESIDENT_MEMORY,
                &[],
                stat.rss.saturating_mul(procfs::page_size()) as f64,
            );
            samples.gauge(&VIRTUAL_MEMORY, &[], stat.vsize as f64);
            samples.gauge(&THREADS, &[], stat.num_threads as f64);
        }
        if let Ok(count) = process.fd_count() {
            samples.gauge(&OPEN_FDS, &[], count as f64);
        }
        if let Ok(limits) = process.limits() {
            let most = match limits.max_open_files.soft_limit {
                LimitValue::Value(most) => most as f64,
                LimitValue::Unlimited => f64::INFINITY,
            };
            samples.gauge(&MAX_FDS, &[], most);
        }
    }
}
