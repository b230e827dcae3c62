//! The answer to a scrape, which requests do not wait for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError, web};
use gatewayz_metrics::{Format, Registry};

use crate::pieces::in_pieces;

const RENDERS_MAX: usize = 4;
const FIRST_PAGE_BYTES: usize = 16 * 1024;
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const ONE_SECOND: HeaderValue = HeaderValue::from_static("1");

/// Why a scrape gets no page. As an answer it is a 503 with `Retry-After: 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScrapeError {
    /// Four pages are being rendered.
    #[error("too many scrapes at a time; try again")]
    Busy,
    /// The thread that renders was refused, or has panicked.
    #[error("the page could not be rendered; try again")]
    Render,
}

impl ResponseError for ScrapeError {
    fn status_code(&self) -> StatusCode {
        StatusCode::SERVICE_UNAVAILABLE
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status_code())
            .insert_header((RETRY_AFTER, ONE_SECOND))
            .body(self.to_string())
    }
}

/// What one scrape leaves for the next, and how many there are.
#[derive(Debug)]
pub(crate) struct Scrapes {
    renders: AtomicUsize,
    /// So that a page is made in one piece of memory.
    page_bytes: AtomicUsize,
}

impl Default for Scrapes {
    fn default() -> Self {
        Self {
            renders: AtomicUsize::new(0),
            page_bytes: AtomicUsize::new(FIRST_PAGE_BYTES),
        }
    }
}

impl Scrapes {
    pub(crate) async fn answer(
        self: &Arc<Self>,
        registry: &Registry,
        headers: &HeaderMap,
    ) -> Result<HttpResponse, ScrapeError> {
        let permit = Permit::take(self).ok_or(ScrapeError::Busy)?;
        let format = Format::negotiate(accepted(headers).as_deref());
        let registry = registry.clone();
        // Some milliseconds at 10,000 series, which a worker would keep all of its connections waiting for.
        let rendered = web::block(move || {
            // It ends with the rendering, also when the scraper has left.
            let Permit(scrapes) = &permit;
            let mut page = Vec::with_capacity(scrapes.page_bytes.load(Ordering::Relaxed));
            registry.render(format, &mut page);
            scrapes
                .page_bytes
                .store(page.len() + page.len() / 8, Ordering::Relaxed);
            page
        });
        let page = rendered.await.map_err(|_| ScrapeError::Render)?;
        Ok(HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, HeaderValue::from_static(format.content_type())))
            .insert_header((CACHE_CONTROL, NO_STORE))
            .body(in_pieces(page.into())))
    }
}

/// All Accept headers as one list, as RFC 9110 section 5.3 reads them.
fn accepted(headers: &HeaderMap) -> Option<String> {
    let values: Vec<&str> = headers
        .get_all(ACCEPT)
        .filter_map(|value| value.to_str().ok())
        .collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// Leave to render a page.
struct Permit(Arc<Scrapes>);

impl Permit {
    fn take(scrapes: &Arc<Scrapes>) -> Option<Self> {
        let more = |renders: usize| (renders < RENDERS_MAX).then_some(renders + 1);
        scrapes
            .renders
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .ok()?;
        Some(Self(Arc::clone(scrapes)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.renders.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_rendering_has_to_wait_for_one_to_end() {
        let scrapes = Arc::new(Scrapes::default());
        let take = || Permit::take(&scrapes);
        let mut permits: Vec<Permit> = (0..RENDERS_MAX).filter_map(|_| take()).collect();
        let refused = take().is_none();
        permits.pop();
        let admitted = take().is_some();

        assert_eq!(permits.len(), RENDERS_MAX - 1);
        assert!(refused);
        assert!(admitted);
    }
}
