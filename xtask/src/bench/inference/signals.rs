//! Whether the signals of the gateway's calls agree.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatewayz_testkit::http::Client;
use gatewayz_testkit::otlp::{Receiver, SpanKind};
use gatewayz_testkit::scrape::Samples;

use super::super::server::Server;
use super::proxy::MODEL;

/// Time for the last batch of spans, which waits for company.
const LAST_SPANS: Duration = Duration::from_secs(20);
/// Each call leaves one of the server and one of its attempt.
const SPANS: u64 = 2;

/// What the calls of one run left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signals {
    requests: u64,
    /// `model_inference_requests_total` of status `success`.
    metric: u64,
    lines: u64,
    /// `None` when the receiver did not look at them.
    server_spans: Option<u64>,
    spans: u64,
}

impl Signals {
    /// Waits for the last span, reads the metrics, ends the service, and counts.
    ///
    /// # Errors
    /// When the metrics cannot be read or the service does not stop.
    pub(super) fn gather(requests: u64, server: Server, receiver: &Receiver) -> Result<Self> {
        let expected = usize::try_from(requests * SPANS).context("count the spans")?;
        // Spans that are missing show in the count.
        let _ = receiver.wait_for(expected, LAST_SPANS);
        let samples = scrape(&server)?;
        let labels = [("provider", "mock"), ("model", MODEL), ("status", "success")];
        let lines = server.stop()?.of_requests;
        let spans = receiver.spans();
        let of_server = spans.iter().filter(|span| span.kind == SpanKind::Server).count();
        Ok(Self {
            requests,
            metric: samples.sum("model_inference_requests_total", &labels) as u64,
            lines,
            server_spans: (!spans.is_empty()).then_some(of_server as u64),
            spans: receiver.span_count() as u64,
        })
    }

    /// Whether every call left each of them.
    pub(super) fn agree(&self) -> bool {
        [
            self.metric,
            self.lines,
            self.server_spans.unwrap_or(self.requests),
        ] == [self.requests; 3]
            && self.spans == self.requests * SPANS
    }
}

impl fmt::Display for Signals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            requests,
            metric,
            lines,
            server_spans,
            spans,
        } = self;
        write!(formatter, "requests {requests}, metric {metric}, lines {lines}")?;
        if let Some(of_server) = server_spans {
            write!(formatter, ", server spans {of_server}")?;
        }
        write!(formatter, ", spans {spans}")?;
        formatter.write_str(if self.agree() { ": agree" } else { ": DO NOT AGREE" })
    }
}

fn scrape(server: &Server) -> Result<Samples> {
    let page = Client::connect(server.address)
        .and_then(|mut client| client.get("/metrics", &[]))
        .context("read the metrics of the service")?;
    ensure!(
        page.status == 200,
        "read the metrics of the service: status {}",
        page.status
    );
    Samples::parse(&page.text()).context("read the metrics of the service")
}
