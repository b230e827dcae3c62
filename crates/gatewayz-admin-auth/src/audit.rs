//! One event per admin call, in the words of the OWASP logging vocabulary.

use std::net::IpAddr;

use crate::attempt::Attempt;

const TARGET: &str = "gatewayz::audit";

pub(crate) fn accepted(key_id: &str, peer: Option<IpAddr>, route: &str) {
    let attempt = Attempt::Accepted;
    tracing::info!(
        target: TARGET,
        event = "authz_admin",
        outcome = attempt.outcome(),
        reason = attempt.reason(),
        key_id,
        peer = peer.map(tracing::field::display),
        admin_route = route,
        "Admin call accepted"
    );
}

/// `suppressed`: failures of this peer since its last line that got none.
pub(crate) fn failed(attempt: Attempt, peer: Option<IpAddr>, route: &str, suppressed: u64) {
    let event = if attempt == Attempt::Throttled {
        "authn_login_fail_max"
    } else {
        "authn_login_fail"
    };
    tracing::warn!(
        target: TARGET,
        event,
        outcome = attempt.outcome(),
        reason = attempt.reason(),
        peer = peer.map(tracing::field::display),
        admin_route = route,
        suppressed = (suppressed > 0).then_some(suppressed),
        "Admin call refused"
    );
}
