//! The method as a closed set of label values.

use actix_web::http::Method;

/// Methods registered by RFC 9110 and RFC 5789; the last stands for every other one.
pub(crate) const LABELS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "_OTHER",
];

/// Index into [`LABELS`].
pub(crate) fn index(method: &Method) -> usize {
    LABELS
        .iter()
        .position(|label| *label == method.as_str())
        .unwrap_or(LABELS.len() - 1)
}
