//! What is known of a request from its head.

use std::sync::OnceLock;

use gatewayz_logging::RequestFacts;

/// What events and child spans inside a request inherit from it.
#[derive(Debug)]
pub(crate) struct RequestHead {
    /// For the lines of events.
    pub(crate) facts: RequestFacts,
    /// What the handler adds to the request's line, encoded.
    pub(crate) fields: OnceLock<Vec<u8>>,
}
