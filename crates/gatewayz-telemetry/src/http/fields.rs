//! What a handler adds to the line of its request.

use std::sync::Arc;

use gatewayz_logging::Members;
use gatewayz_tracing::{ServerSpan, current_request};

use super::head::RequestHead;

/// The line of one request, to which its handler may add fields until the request ends.
///
/// It can be kept and used on another thread, or when the answer's body is dropped.
#[derive(Debug, Clone)]
pub struct RequestFields(Arc<ServerSpan>);

impl RequestFields {
    /// The request that is being served on this thread; `None` outside of one, and on silent routes.
    #[must_use]
    pub fn current() -> Option<Self> {
        let request = current_request()?;
        request.attachment_as::<RequestHead>()?;
        Some(Self(request))
    }

    /// Writes the fields, after those of the line itself. Only the first call counts, and only before the end of the
    /// request.
    pub fn set(&self, write: impl FnOnce(&mut Members)) {
        let Some(head) = self.0.attachment_as::<RequestHead>() else {
            return;
        };
        let mut members = Members::default();
        write(&mut members);
        let _ = head.fields.set(members.into_bytes());
    }
}
