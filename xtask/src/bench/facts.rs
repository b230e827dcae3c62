//! Whether the signals agree: what was asked, and what arrived of it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatewayz_testkit::http::Client;
use gatewayz_testkit::scrape::Samples;

use super::peers::Setup;
use super::receivers::Receivers;
use super::server::Server;

/// Time for the last batch of a destination, which waits for company.
const LAST_BATCH: Duration = Duration::from_secs(20);

/// What became of the requests of one run.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    setup: Setup,
    requests: u64,
    /// `None` for a peer whose metrics have other names.
    metric: Option<u64>,
    lines: u64,
    spans: u64,
    /// What the server itself says it discarded.
    discarded: Discarded,
    /// Lines at Loki; `None` when none are pushed.
    pushed: Option<Pushed>,
}

/// By the server's reason.
#[derive(Debug, Clone, Default)]
struct Discarded {
    lines: BTreeMap<String, u64>,
    spans: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Copy)]
struct Pushed {
    lines: u64,
    /// Lines on stdout, those of the start and the end among them, which may come before or after the push.
    most: u64,
}

impl Facts {
    /// Waits for the last span and line, reads the metrics, ends the server, and counts.
    ///
    /// # Errors
    /// When the metrics cannot be read or the server does not stop.
    pub(crate) fn gather(setup: Setup, requests: u64, server: Server, receivers: &Receivers) -> Result<Self> {
        let signals = setup.signals();
        let expected = |each: u64| usize::try_from(requests * each).context("count the signals");
        // What is missing shows in the count.
        let _ = receivers.otlp.wait_for(expected(signals.spans)?, LAST_BATCH);
        if setup.loki {
            let _ = receivers.loki.wait_for(expected(signals.lines)?, LAST_BATCH);
        }
        let page = match signals.metric {
            true => Some(page(server.address)?),
            false => None,
        };
        let discarded = page.as_ref().map(Discarded::read).unwrap_or_default();
        let lines = server.stop()?;
        Ok(Self {
            setup,
            requests,
            metric: page.map(|page| page.sum("fastapi_requests_total", &[]) as u64),
            lines: lines.of_requests,
            discarded,
            spans: receivers.otlp.span_count() as u64,
            pushed: setup.loki.then(|| Pushed {
                lines: receivers.loki.line_count() as u64,
                most: lines.all,
            }),
        })
    }

    /// Whether every request left each of the peer's signals.
    pub(crate) fn agree(&self) -> bool {
        let signals = self.setup.signals();
        let lines = self.requests * signals.lines;
        self.metric.is_none_or(|counted| counted == self.requests)
            && self.lines == lines
            && self.spans == self.requests * signals.spans
            && self
                .pushed
                .is_none_or(|pushed| (lines..=pushed.most).contains(&pushed.lines))
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            requests,
            lines,
            spans,
            discarded,
            ..
        } = self;
        write!(formatter, "requests {requests}")?;
        if let Some(metric) = self.metric {
            write!(formatter, ", metric {metric}")?;
        }
        write!(formatter, ", lines {lines}")?;
        tell(&discarded.lines, formatter)?;
        write!(formatter, ", spans {spans}")?;
        tell(&discarded.spans, formatter)?;
        if let Some(Pushed { lines, most }) = self.pushed {
            write!(formatter, ", pushed {lines} of {most}")?;
        }
        formatter.write_str(if self.agree() { ": agree" } else { ": DO NOT AGREE" })
    }
}

fn page(address: SocketAddr) -> Result<Samples> {
    let page = Client::connect(address)
        .and_then(|mut client| client.get("/metrics", &[]))
        .context("read the metrics of the server")?;
    ensure!(
        page.status == 200,
        "read the metrics of the server: status {}",
        page.status
    );
    Samples::parse(&page.text()).context("read the metrics of the server")
}

impl Discarded {
    fn read(page: &Samples) -> Self {
        let count = |exporter: &str, records: &str| {
            let mut counts = BTreeMap::new();
            for when in ["enqueue", "send"] {
                let failed = format!("telemetry_exporter_{when}_failed_{records}_total");
                for (reason, count) in page.sum_by("reason", &failed, &[("exporter", exporter)]) {
                    *counts.entry(reason).or_default() += count as u64;
                }
            }
            counts
        };
        Self {
            lines: count("stdout", "log_records"),
            spans: count("otlp", "spans"),
        }
    }
}

fn tell(discarded: &BTreeMap<String, u64>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (reason, count) in discarded.iter().filter(|(_, count)| **count > 0) {
        write!(formatter, " ({count} more {reason})")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use gatewayz_testkit::scrape::Samples;

    use super::super::peers::Peer;
    use super::{Discarded, Facts};

    #[test]
    fn what_the_server_discarded_is_told_by_reason() {
        let page = "telemetry_exporter_enqueue_failed_log_records_total{exporter=\"stdout\",reason=\"shed\"} 7\n\
            telemetry_exporter_enqueue_failed_log_records_total{exporter=\"loki\",reason=\"shed\"} 5\n\
            telemetry_exporter_send_failed_log_records_total{exporter=\"stdout\",reason=\"rejected\"} 2\n\
            telemetry_exporter_enqueue_failed_spans_total{exporter=\"otlp\",reason=\"queue_full\"} 3\n";
        let page = Samples::parse(page).unwrap();

        let facts = Facts {
            setup: Peer::Service.setup(),
            requests: 10,
            metric: Some(10),
            lines: 1,
            discarded: Discarded::read(&page),
            spans: 7,
            pushed: None,
        };

        assert_eq!(
            facts.to_string(),
            "requests 10, metric 10, lines 1 (2 more rejected) (7 more shed), spans 7 (3 more queue_full): DO NOT AGREE"
        );
    }
}
