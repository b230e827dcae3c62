//! What comes with a request beside its body.

use std::fmt;
use std::sync::Arc;

use gatewayz_metrics::Exemplar;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::cache::CacheControl;
use crate::outcome::Observe;

/// Client headers that go to providers. All others stay here: keys, cookies, organizations, addresses.
const FORWARDED: [&str; 2] = ["idempotency-key", BETA];
const BETA: &str = "openai-beta";

/// What comes with a request beside its body.
#[derive(Default)]
pub struct Call {
    /// Whose call it is, such as the name of an API key: cached answers are kept apart by it.
    pub tenant: Option<Arc<str>>,
    /// The sampled trace it belongs to.
    pub exemplar: Option<Exemplar>,
    /// Told when the call is over.
    pub observer: Option<Box<dyn Observe>>,
    pub(crate) cache_control: CacheControl,
    pub(crate) forwarded: HeaderMap,
}

impl Call {
    /// Offers a header of the client's request. `Cache-Control` is obeyed, a few that providers may see are kept for
    /// them, and all others are left out; so any header may be offered.
    pub fn header(&mut self, name: &str, value: &[u8]) {
        if name.eq_ignore_ascii_case("cache-control") {
            self.cache_control.add(value);
            return;
        }
        let known = FORWARDED.iter().find(|known| known.eq_ignore_ascii_case(name));
        if let Some(name) = known
            && let Ok(value) = HeaderValue::from_bytes(value)
        {
            self.forwarded.insert(HeaderName::from_static(name), value);
        }
    }

    /// The forwarded header that changes answers; empty without one.
    pub(crate) fn beta(&self) -> &[u8] {
        self.forwarded.get(BETA).map_or(&[], HeaderValue::as_bytes)
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Call")
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}
