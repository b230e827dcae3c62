//! The page as a scraper sees it.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod collection;
mod exposition;
mod limits;
mod parser;
mod properties;
