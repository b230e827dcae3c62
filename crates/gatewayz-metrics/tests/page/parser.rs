//! A strict reader of both formats, written from their grammars and not from the writer.

use std::collections::{BTreeMap, BTreeSet};

use gatewayz_metrics::{Format, Registry};

/// Sample name and labels, to the text of the value.
pub(crate) type Samples = BTreeMap<(String, BTreeMap<String, String>), String>;

#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) samples: Samples,
    /// Sample name to exemplar text.
    pub(crate) exemplars: Vec<(String, String)>,
}

impl Page {
    #[track_caller]
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> &str {
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let value = self.samples.get(&(name.to_owned(), labels));
        value.unwrap_or_else(|| panic!("{name} is missing among {:#?}", self.samples))
    }

    pub(crate) fn count(&self, name: &str) -> usize {
        self.samples.keys().filter(|(sample, _)| sample == name).count()
    }
}

pub(crate) fn rendered(registry: &Registry, format: Format) -> String {
    let mut out = Vec::new();
    registry.render(format, &mut out);
    String::from_utf8(out).unwrap()
}

pub(crate) fn scrape(registry: &Registry, format: Format) -> Page {
    parse(&rendered(registry, format), format)
}

/// Panics at the first line that the format does not allow.
pub(crate) fn parse(page: &str, format: Format) -> Page {
    let open_metrics = format == Format::OpenMetrics;
    let page = page.strip_suffix('\n').unwrap();
    let page = if open_metrics {
        page.strip_suffix("# EOF").unwrap()
    } else {
        page
    };
    let mut parsed = Page {
        samples: Samples::new(),
        exemplars: Vec::new(),
    };
    let mut families = BTreeSet::new();
    let mut family = (String::new(), String::new());
    for line in page.split('\n').filter(|line| !(open_metrics && line.is_empty())) {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        if let Some(comment) = line.strip_prefix("# ") {
            let [keyword, name, text] = comment.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
            match keyword {
                "HELP" => assert!(families.insert(name.to_owned()), "{name} is there twice"),
                "TYPE" => family = (name.to_owned(), text.to_owned()),
                "UNIT" => assert!(open_metrics && name.ends_with(&format!("_{text}"))),
                other => panic!("{other}"),
            }
            continue;
        }
        let (sample, rest) = sample(line);
        assert!(
            suffixes(&family.1, open_metrics).any(|suffix| sample.0 == family.0.clone() + suffix),
            "{line}"
        );
        let (value, exemplar) = rest
            .split_once(" # ")
            .map_or((rest, None), |(value, text)| (value, Some(text)));
        value.parse::<f64>().unwrap();
        if let Some(exemplar) = exemplar {
            assert!(open_metrics && sample.0.ends_with("_bucket"));
            parsed.exemplars.push((sample.0.clone(), exemplar.to_owned()));
        }
        assert_eq!(parsed.samples.insert(sample, value.to_owned()), None, "{line}");
    }
    parsed
}

fn suffixes(kind: &str, open_metrics: bool) -> impl Iterator<Item = &'static str> {
    let suffixes: &[&str] = match (kind, open_metrics) {
        ("counter", true) => &["_total"],
        ("counter", false) | ("gauge", _) => &[""],
        ("histogram", _) => &["_bucket", "_sum", "_count"],
        _ => panic!("{kind}"),
    };
    suffixes.iter().copied()
}

/// The sample's name and labels, and what follows them.
fn sample(line: &str) -> ((String, BTreeMap<String, String>), &str) {
    let name_end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    if let Some(set) = rest.strip_prefix('{') {
        rest = set;
        while !rest.starts_with('}') {
            let (label, tail) = rest.split_once("=\"").unwrap();
            let (value, tail) = quoted(tail);
            assert_eq!(labels.insert(label.to_owned(), value), None);
            rest = tail.strip_prefix(',').unwrap_or(tail);
        }
        rest = rest.strip_prefix('}').unwrap();
    }
    ((name.to_owned(), labels), rest.strip_prefix(' ').unwrap())
}

/// Text up to the closing quote, and what follows it.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, text.get(at + 1..).unwrap()),
            '\\' => value.push(match characters.next().unwrap().1 {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                other => panic!("\\{other}"),
            }),
            other => value.push(other),
        }
    }
    panic!("no closing quote in {text}");
}
