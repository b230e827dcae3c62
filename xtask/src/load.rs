//! `load`: traffic at a steady rate, so that dashboards live.

mod mix;
mod pace;
mod tally;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::SignedDuration;
use signal_hook::consts::{SIGINT, SIGTERM};
use url::Url;

use crate::http::{self, Authorization, Server};
use mix::{Mix, Share};
use pace::Senders;
use tally::Tally;

/// Longest time of one request, streams included.
const REQUEST: Duration = Duration::from_secs(30);
/// How often the clock, the bar and signals are looked at when nothing is due.
const TICK: Duration = Duration::from_millis(100);
const RATE_MAX: f64 = 5000.0;
const DURATIONS: RangeInclusive<SignedDuration> =
    SignedDuration::from_secs(1)..=SignedDuration::from_hours(31 * 24);

/// What traffic is made, and where.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The service.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000", value_parser = http::url)]
    base_url: Url,
    /// Requests a second.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// How long, such as 30s, 10m or 2h.
    #[arg(long, default_value = "60s", value_parser = duration)]
    duration: Duration,
    /// Share of requests that are mistakes: unknown pages, unknown models, broken JSON.
    #[arg(long, value_name = "PERCENT", default_value = "5%")]
    errors: Share,
    /// Share of requests that are streamed completions.
    #[arg(long, value_name = "PERCENT", default_value = "10%")]
    streams: Share,
    /// Model of the completions.
    #[arg(long, default_value = "echo")]
    model: String,
    /// Variable with an API key of the service; a local one needs none.
    #[arg(long, value_name = "VARIABLE", default_value = "API_KEY")]
    api_key_env: String,
}

/// Makes the traffic, prints a summary; `false` when the service went away meanwhile.
///
/// # Errors
/// When an option cannot be used or the service cannot be reached.
pub(crate) fn load(options: &Options) -> Result<bool> {
    ensure!(
        options.rate.is_finite() && (0.1..=RATE_MAX).contains(&options.rate),
        "read --rate: it is not between 0.1 and {RATE_MAX}"
    );
    let mix = Mix::new(options.errors, options.streams, &options.model)?;
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The second one ends the program at once, should an answer hang.
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&stopped))
            .context("take signals")?;
        signal_hook::flag::register(signal, Arc::clone(&stopped)).context("take signals")?;
    }
    let api_key = http::variable(&options.api_key_env)
        .as_deref()
        .map(Authorization::bearer);
    let server = Server::new("Service", &options.base_url, "--api-key-env", api_key, REQUEST)?;
    server.successful("/health", &[]).context("reach the service")?;

    let tally = Arc::new(Tally::default());
    let senders = Senders::new(server.clone(), Arc::clone(&tally));
    let started = Instant::now();
    run(options, mix, &senders, &tally, &stopped)?;
    senders.finish();
    print!("{}", tally.summary(started.elapsed()));
    if let Err(fault) = server.successful("/health", &[]) {
        println!("The service went away: {fault}");
        return Ok(false);
    }
    Ok(true)
}

/// Sends what is due until the time is over or a signal came.
fn run(
    options: &Options,
    mut mix: Mix,
    senders: &Senders,
    tally: &Tally,
    stopped: &AtomicBool,
) -> Result<()> {
    let bar = ProgressBar::new(options.duration.as_secs());
    bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} s  {msg}")?);
    let started = Instant::now();
    let mut sent: u64 = 0;
    loop {
        let elapsed = started.elapsed();
        if elapsed >= options.duration || stopped.load(Ordering::Relaxed) {
            bar.finish_and_clear();
            return Ok(());
        }
        // Each request has its own time, whatever became of those before it.
        let due = Duration::from_secs_f64(sent as f64 / options.rate);
        if due <= elapsed {
            senders.send(mix.next())?;
            sent += 1;
            continue;
        }
        bar.set_position(elapsed.as_secs());
        bar.set_message(tally.line(elapsed));
        std::thread::sleep((due - elapsed).min(TICK));
    }
}

/// Reads a duration such as `30s`, `10m` or `1h 30m`.
fn duration(text: &str) -> Result<Duration> {
    let told =
        || format!("read the duration {text}: it is not such as 30s, 10m or 2h, from a second to a month");
    let duration = text.parse::<SignedDuration>().with_context(told)?;
    ensure!(DURATIONS.contains(&duration), told());
    Ok(duration.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_an_end() {
        for (text, seconds) in [("30s", 30), ("10m", 600), ("2h", 7200), ("1h30m", 5400)] {
            assert_eq!(duration(text).unwrap().as_secs(), seconds);
        }
        for text in [
            "",
            "s",
            "45",
            "0s",
            "-1s",
            "10d",
            "800h",
            "99999999999999999h",
            "1é",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
