//! What is known of a request from its head.

use std::sync::{Arc, OnceLock};

use smol_str::SmolStr;

/// What events and child spans inside a request inherit from it.
#[derive(Debug)]
pub(crate) struct RequestHead {
    /// Path without query; most are short enough to need no allocation.
    pub(crate) endpoint: SmolStr,
    pub(crate) method: &'static str,
    pub(crate) route: Option<Arc<str>>,
    /// What the handler adds to the request's line, encoded.
    pub(crate) fields: OnceLock<Vec<u8>>,
}
