//! Whether the signals agree: what was asked, and what arrived of it.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatewayz_testkit::http::Client;
use gatewayz_testkit::otlp::Receiver;
use gatewayz_testkit::scrape::Samples;

use super::peers::Peer;
use super::server::Server;

/// Time for the last batch of spans, which waits for company.
const LAST_SPANS: Duration = Duration::from_secs(20);

/// What became of the requests of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    peer: Peer,
    requests: u64,
    /// `None` for a peer whose metrics have other names.
    metric: Option<u64>,
    lines: u64,
    spans: u64,
}

impl Facts {
    /// Waits for the last span, reads the metrics, ends the server, and counts.
    ///
    /// # Errors
    /// When the metrics cannot be read or the server does not stop.
    pub(crate) fn gather(peer: Peer, requests: u64, server: Server, receiver: &Receiver) -> Result<Self> {
        let expected = usize::try_from(requests * peer.signals().spans).context("count the spans")?;
        // Spans that are missing show in the count.
        let _ = receiver.wait_for(expected, LAST_SPANS);
        let metric = match peer.signals().metric {
            true => Some(requests_counted(server.address)?),
            false => None,
        };
        let lines = server.stop()?;
        let spans = receiver.span_count() as u64;
        Ok(Self {
            peer,
            requests,
            metric,
            lines,
            spans,
        })
    }

    /// Whether every request left each of the peer's signals.
    pub(crate) fn agree(&self) -> bool {
        let signals = self.peer.signals();
        self.metric.is_none_or(|counted| counted == self.requests)
            && self.lines == self.requests * signals.lines
            && self.spans == self.requests * signals.spans
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            requests,
            lines,
            spans,
            ..
        } = self;
        write!(formatter, "requests {requests}")?;
        if let Some(metric) = self.metric {
            write!(formatter, ", metric {metric}")?;
        }
        write!(formatter, ", lines {lines}, spans {spans}")?;
        formatter.write_str(if self.agree() { ": agree" } else { ": DO NOT AGREE" })
    }
}

fn requests_counted(address: SocketAddr) -> Result<u64> {
    let page = Client::connect(address)
        .and_then(|mut client| client.get("/metrics", &[]))
        .context("read the metrics of the server")?;
    ensure!(
        page.status == 200,
        "read the metrics of the server: status {}",
        page.status
    );
    let samples = Samples::parse(&page.text()).context("read the metrics of the server")?;
    Ok(samples.sum("fastapi_requests_total", &[("path", "/api/users/{id}")]) as u64)
}
