//! Reads a Prometheus or OpenMetrics text exposition, as far as asserting values needs it.

use std::collections::BTreeMap;

/// Every sample of one scrape.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    values: BTreeMap<String, Vec<Sample>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Sample {
    labels: Vec<(String, String)>,
    value: f64,
}

/// A line that is not a sample.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read line {line_number} of the scrape: {line}")]
pub struct ScrapeError {
    /// 1 for the first line.
    pub line_number: usize,
    /// The line as it was.
    pub line: String,
}

impl Samples {
    /// Reads an exposition; comments, time stamps and exemplars are passed over.
    ///
    /// # Errors
    /// At the first line that is not a sample.
    pub fn parse(text: &str) -> Result<Self, ScrapeError> {
        let mut values: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, sample) = parse_sample(line).ok_or_else(|| ScrapeError {
                line_number: index + 1,
                line: line.to_owned(),
            })?;
            values.entry(name.to_owned()).or_default().push(sample);
        }
        Ok(Self { values })
    }

    /// Value of the one series with this name that has these labels among its own; `None` when none has.
    ///
    /// # Panics
    /// When several series have them: name more labels, or use [`sum`](Self::sum).
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.matching(name, labels);
        let value = found.next().map(|sample| sample.value);
        assert!(found.next().is_none(), "several series {name} have {labels:?}");
        value
    }

    /// Sum over every series with this name that has these labels among its own; 0 when none has.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// The same sum for each value of the label `key`; a series without that label is left out.
    pub fn sum_by(&self, key: &str, name: &str, labels: &[(&str, &str)]) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for sample in self.matching(name, labels) {
            let label = sample.labels.iter().find(|(own_key, _)| own_key == key);
            if let Some((_, value)) = label {
                *sums.entry(value.clone()).or_default() += sample.value;
            }
        }
        sums
    }

    /// How many series have this name.
    pub fn series_count(&self, name: &str) -> usize {
        self.values.get(name).map_or(0, Vec::len)
    }

    /// Every sample name, sorted; a histogram shows as `_bucket`, `_count` and `_sum`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    fn matching(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = &Sample> {
        self.values
            .get(name)
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .filter(|sample| labels.iter().all(|wanted| sample.has(wanted)))
    }
}

impl Sample {
    fn has(&self, (key, value): &(&str, &str)) -> bool {
        self.labels
            .iter()
            .any(|(own_key, own_value)| own_key == key && own_value == value)
    }
}

fn parse_sample(line: &str) -> Option<(&str, Sample)> {
    let name_length =
        line.find(|symbol: char| !(symbol.is_ascii_alphanumeric() || matches!(symbol, '_' | ':')))?;
    let (name, rest) = line.split_at(name_length);
    let (mut labels, rest) = match rest.strip_prefix('{') {
        Some(inner) => parse_labels(inner)?,
        None => (Vec::new(), rest),
    };
    labels.sort_unstable();
    let value = rest.split_whitespace().next()?.parse().ok()?;
    (!name.is_empty()).then_some((name, Sample { labels, value }))
}

fn parse_labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (key, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut symbols = quoted.char_indices();
        loop {
            match symbols.next()? {
                (end, '"') => {
                    rest = quoted.get(end + 1..)?;
                    break;
                }
                (_, '\\') => match symbols.next()?.1 {
                    'n' => value.push('\n'),
                    escaped => value.push(escaped),
                },
                (_, symbol) => value.push(symbol),
            }
        }
        labels.push((key.trim().to_owned(), value));
    }
}

#[cfg(test)]
mod tests {
    use super::Samples;

    const SCRAPE: &str = r#"# HELP fastapi_responses_total Responses.
# TYPE fastapi_responses_total counter
fastapi_responses_total{method="GET",path="/a",status_code="200"} 3
fastapi_responses_total{method="GET",path="/a",status_code="404"} 1.0
odd{text="a \"quoted\" }, \\ and\nnew line"} +Inf
latency_bucket{le="0.5"} 7 # {trace_id="abc"} 0.2 1700000000.0
up 1 1700000000
# EOF
"#;

    #[test]
    fn a_value_is_found_by_some_of_its_labels() {
        let samples = Samples::parse(SCRAPE).unwrap();

        let value = samples.value("fastapi_responses_total", &[("status_code", "200")]);

        assert_eq!(value, Some(3.0));
    }

    #[test]
    fn a_sum_goes_over_every_matching_series() {
        let samples = Samples::parse(SCRAPE).unwrap();

        let sum = samples.sum("fastapi_responses_total", &[("path", "/a")]);

        assert_eq!(sum, 4.0);
    }

    #[test]
    fn escapes_exemplars_and_time_stamps_are_understood() {
        let samples = Samples::parse(SCRAPE).unwrap();

        let odd = samples.value("odd", &[("text", "a \"quoted\" }, \\ and\nnew line")]);
        let bucket = samples.value("latency_bucket", &[("le", "0.5")]);

        assert_eq!(
            (odd, bucket, samples.value("up", &[])),
            (Some(f64::INFINITY), Some(7.0), Some(1.0))
        );
    }

    #[test]
    fn a_broken_line_is_named() {
        let error = Samples::parse("up 1\nup{a=\"b} 1\n").unwrap_err();

        assert_eq!(error.line_number, 2);
    }
}
