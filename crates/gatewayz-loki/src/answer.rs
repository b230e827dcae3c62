//! What Loki's answer means for a batch.

use gatewayz_delivery::http::{Answer, Secrets};
use gatewayz_delivery::{Attempt, Failure};

/// Only the status decides; the text, as far as it came, tells an operator why.
pub(crate) fn meaning(answer: &Answer, secrets: &Secrets) -> Attempt {
    if answer.is_success() {
        return Attempt::Delivered;
    }
    let status = answer.status;
    let text = String::from_utf8_lossy(&answer.body);
    let told = secrets.tellable(&text);
    let colon = if told.is_empty() { "" } else { ": " };
    let failure = Failure::new(
        status.to_string(),
        &format!("Loki answered {status}{colon}{told}"),
    );
    match status {
        501 | 505 => Attempt::Rejected(failure),
        408 | 429 | 500..=599 => Attempt::Retry {
            after: answer.retry_after,
            failure,
        },
        413 => Attempt::TooLarge(failure),
        401 | 403 => Attempt::Rejected(failure.unauthorized()),
        _ => Attempt::Rejected(failure),
    }
}
