//! The two page formats and the choice between them.

/// A format Prometheus reads. Both show the same samples; only OpenMetrics carries units and exemplars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

/// Entries of an Accept header that are read; nobody sends more.
const ACCEPT_ENTRIES: usize = 32;

impl Format {
    /// OpenMetrics if the Accept header names it and likes it at least as much as text; text otherwise, whatever
    /// the header says.
    #[must_use]
    pub fn negotiate(accept: Option<&str>) -> Self {
        let mut open_metrics: f32 = 0.0;
        let mut text: Option<f32> = None;
        let mut any: Option<f32> = None;
        for entry in accept.unwrap_or_default().split(',').take(ACCEPT_ENTRIES) {
            let Some(Entry {
                media_type,
                version,
                quality,
            }) = Entry::parse(entry)
            else {
                continue;
            };
            let is = |name: &str| media_type.eq_ignore_ascii_case(name);
            if is("application/openmetrics-text") && version.is_none_or(|version| version == "1.0.0") {
                open_metrics = open_metrics.max(quality);
            } else if is("text/plain") && version.is_none_or(|version| version == "0.0.4") {
                text = Some(text.unwrap_or_default().max(quality));
            } else if is("text/*") || is("*/*") {
                any = Some(any.unwrap_or_default().max(quality));
            }
        }
        let text = text.or(any).unwrap_or_default();
        if open_metrics > 0.0 && open_metrics >= text {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The Content-Type of the page.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

struct Entry<'a> {
    media_type: &'a str,
    version: Option<&'a str>,
    quality: f32,
}

impl<'a> Entry<'a> {
    /// `None` when the quality is not a number from 0 to 1.
    fn parse(entry: &'a str) -> Option<Self> {
        let mut parts = entry.split(';').map(str::trim);
        let mut parsed = Self {
            media_type: parts.next()?,
            version: None,
            quality: 1.0,
        };
        for part in parts {
            let Some((name, value)) = part.split_once('=') else {
                continue;
            };
            let value = value.trim().trim_matches('"');
            if name.trim().eq_ignore_ascii_case("q") {
                parsed.quality = value
                    .parse()
                    .ok()
                    .filter(|quality| (0.0..=1.0).contains(quality))?;
            } else if name.trim().eq_ignore_ascii_case("version") {
                parsed.version = Some(value);
            }
        }
        Some(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
                            q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                            text/plain;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let accepted = [
            prometheus_2,
            prometheus_3,
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=\"1.0.0\"; Q=0.1",
            "application/openmetrics-text, text/plain",
            "application/openmetrics-text;q=0.5, */*;q=0.4",
        ];

        for accept in accepted {
            assert_eq!(Format::negotiate(Some(accept)), Format::OpenMetrics, "{accept}");
        }
    }

    #[test]
    fn everything_else_gets_text() {
        let others = [
            "",
            "*/*",
            "text/plain",
            "application/*",
            "application/json",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=NaN",
            "application/openmetrics-text;q=2",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;q=0.4, text/plain;q=0.5",
            "application/openmetrics-text;q=0.4, */*",
            ";;;,,=,q=1;\u{0}\"",
        ];

        assert_eq!(Format::negotiate(None), Format::Text);
        for accept in others {
            assert_eq!(Format::negotiate(Some(accept)), Format::Text, "{accept}");
        }
    }
}
