//! What the body of a success says: all accepted, some spans refused for good, or a warning.

use std::time::{Duration, Instant};

use gatewayz_delivery::http::Secrets;
use gatewayz_delivery::{Attempt, Failure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

const STATUS: &str = "partial_success";
/// A receiver that warns does so in each answer.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Reads the answers of one receiver.
#[derive(Debug)]
pub(super) struct Answers {
    secrets: Secrets,
    warned: Option<Instant>,
}

impl Answers {
    pub(super) fn new(secrets: Secrets) -> Self {
        Self {
            secrets,
            warned: None,
        }
    }

    /// The failure that a refusal with this `text` is, showing of it what may be told.
    pub(super) fn failure(&self, status: &'static str, text: &str) -> Failure {
        let told = self.secrets.tellable(text);
        let colon = if told.is_empty() { "" } else { ": " };
        Failure::new(status, &format!("the receiver answered {status}{colon}{told}"))
    }

    /// The meaning of a success with this body.
    pub(super) fn accepted(&mut self, body: &[u8]) -> Attempt {
        // An answer that is no protobuf message came with a success all the same.
        let partial = ExportTraceServiceResponse::decode(body)
            .ok()
            .and_then(|response| response.partial_success);
        match partial {
            Some(partial) if partial.rejected_spans > 0 => Attempt::PartlyRejected {
                rejected: usize::try_from(partial.rejected_spans).unwrap_or(usize::MAX),
                failure: self.failure(STATUS, &partial.error_message),
            },
            Some(partial) => {
                // A warning is no failure, so the log is the only place for it.
                if let Some(warning) = self.fresh_warning(&partial.error_message) {
                    tracing::warn!(
                        target: "gatewayz::delivery",
                        exporter = "otlp",
                        warning,
                        "The receiver took every span and warned"
                    );
                }
                Attempt::Delivered
            }
            None => Attempt::Delivered,
        }
    }

    /// What may be told of a warning; `None` when there is nothing, or one was told within the last minute.
    fn fresh_warning(&mut self, text: &str) -> Option<String> {
        let warning = Failure::new(STATUS, self.secrets.tellable(text)).message;
        if warning.is_empty() || self.warned.is_some_and(|at| at.elapsed() < WARNING_INTERVAL) {
            return None;
        }
        self.warned = Some(Instant::now());
        Some(warning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_that_always_warns_is_told_of_once_a_minute() {
        let mut secrets = Secrets::default();
        secrets.add("s3cret");
        let mut answers = Answers::new(secrets);

        let told =
            ["", "use s3cret", "use a newer version", "use it now"].map(|text| answers.fresh_warning(text));

        assert_eq!(told, [None, None, Some("use a newer version".to_owned()), None]);
        answers.warned = Instant::now().checked_sub(WARNING_INTERVAL);
        assert!(answers.fresh_warning("use it now").is_some());
    }
}
