//! What a client says about the cache in `Cache-Control`.

use std::time::Duration;

/// A request's wishes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CacheControl {
    /// Do not keep the answer, and give none that was kept.
    pub(crate) no_store: bool,
    /// Give none that was kept.
    pub(crate) no_cache: bool,
    /// Give none that is older.
    pub(crate) max_age: Option<Duration>,
}

impl CacheControl {
    /// Adds a header; what is not known is left out (RFC 9111, 5.2.3).
    pub(crate) fn add(&mut self, value: &[u8]) {
        let Ok(text) = str::from_utf8(value) else { return };
        for directive in text.split(',') {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" => self.no_store = true,
                "no-cache" => self.no_cache = true,
                "max-age" => {
                    // What cannot be read counts as stale (RFC 9111, 4.2.1).
                    let seconds = argument.trim().trim_matches('"').parse().unwrap_or(0);
                    let max_age = Duration::from_secs(seconds);
                    self.max_age = Some(self.max_age.map_or(max_age, |known| known.min(max_age)));
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read_in_any_form() {
        for (values, no_store, no_cache, max_age) in [
            (vec!["no-store"], true, false, None),
            (vec!["No-Cache, max-age=60"], false, true, Some(60)),
            (vec!["max-age=60", " max-age = \"5\" "], false, false, Some(5)),
            (vec!["max-age=soon"], false, false, Some(0)),
            (vec!["public, x=y, ,"], false, false, None),
        ] {
            let mut control = CacheControl::default();
            values.iter().for_each(|value| control.add(value.as_bytes()));

            let max_age = max_age.map(Duration::from_secs);
            assert_eq!(
                control,
                CacheControl {
                    no_store,
                    no_cache,
                    max_age
                },
                "{values:?}"
            );
        }
    }
}
