//! What is known of a request from its head.

use std::sync::OnceLock;

use gatewayz_logging::{Endpoint, EscapedText};

/// What events and child spans inside a request inherit from it.
#[derive(Debug)]
pub(crate) struct RequestHead {
    pub(crate) endpoint: Endpoint,
    pub(crate) method: &'static str,
    pub(crate) route: Option<EscapedText>,
    /// What the handler adds to the request's line, encoded.
    pub(crate) fields: OnceLock<Vec<u8>>,
}
