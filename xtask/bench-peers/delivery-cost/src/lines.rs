//! Request lines to Loki, with the settings the service has by default.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use gatewayz_delivery::{Delivery, QueueSettings, RetryPolicy, Severity};
use gatewayz_loki::{Credentials, LokiSettings, LokiSink, StreamLabels, Wire, record};

/// A line of an ordinary request.
const LINE: &[u8] = b"{\"timestamp\":\"2026-11-22T10:00:00.000Z\",\"level\":\"INFO\",\"service\":\"gatewayz-api\",\"endpoint\":\"/api/users/1\",\"method\":\"GET\",\"status_code\":200,\"duration_ms\":0.042,\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"span_id\":\"00f067aa0ba902b7\",\"message\":\"Request completed\",\"environment\":\"production\",\"route\":\"/api/users/{id}\",\"target\":\"gatewayz::request\"}\n";

pub(crate) struct Lines {
    pub(crate) delivery: Delivery,
    count: u64,
}

impl Lines {
    pub(crate) fn new(push_url: &str) -> Result<Self> {
        let sink = LokiSink::new(&LokiSettings {
            push_url: push_url.parse().context("read the push URL")?,
            wire: Wire::default(),
            labels: StreamLabels {
                service: "gatewayz-api".to_owned(),
                app: "gatewayz".to_owned(),
                environment: "production".to_owned(),
            },
            credentials: Credentials::None,
            tenant: None,
        })?;
        let queue = QueueSettings {
            capacity_bytes: 10 << 20,
            batch_bytes: 512 << 10,
            linger: Duration::from_secs(1),
            ..QueueSettings::default()
        };
        Ok(Self {
            delivery: Delivery::spawn("loki", sink, queue, RetryPolicy::default(), None)?,
            count: 0,
        })
    }

    pub(crate) fn push(&mut self) {
        self.count += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut trace_id = [0x4b; 16];
        trace_id[..8].copy_from_slice(&self.count.to_le_bytes());
        let span_id = self.count.to_be_bytes();
        self.delivery.queue().push(Severity::Info, |out| {
            let nanos = now.as_nanos() as u64;
            record::write(nanos, "INFO", Some(trace_id), Some(span_id), LINE, out);
        });
    }
}
