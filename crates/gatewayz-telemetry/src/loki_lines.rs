//! Hands each log line to the Loki queue, the same bytes as on stdout.

use gatewayz_delivery::{Discard, Queue, delivering};
use gatewayz_logging::{Line, LineSink};

pub(crate) struct LokiLines(pub(crate) Queue);

impl LineSink for LokiLines {
    fn write(&self, line: &Line<'_>) {
        if delivering() == Some(self.0.name()) {
            self.0.refuse(Discard::SelfNotice);
            return;
        }
        self.0.push(line.severity, |out| {
            gatewayz_loki::record::write(
                line.unix_nanos,
                line.level.as_str(),
                line.ids.map(|ids| ids.trace_id),
                line.ids.map(|ids| ids.span_id),
                line.bytes,
                out,
            );
        });
    }
}
