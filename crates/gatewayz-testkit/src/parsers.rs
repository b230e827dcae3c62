//! A metrics page in the eyes of parsers that are not ours: promtool and the Python client.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{ErrorKind, Write};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::tools::python_with;

/// Reads a page on stdin, strictly, and writes one JSON array per sample: name, labels, value, exemplar labels.
const PYTHON_READER: &str = r#"
import json, sys
if sys.argv[1] == "openmetrics":
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as families
else:
    from prometheus_client.parser import text_string_to_metric_families as families
page = sys.stdin.buffer.read().decode("utf-8")
for family in families(page):
    for sample in family.samples:
        exemplar = sample.exemplar.labels if sample.exemplar else None
        print(json.dumps([sample.name, sample.labels, repr(float(sample.value)), exemplar]))
"#;

/// The two formats of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageFormat {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// One sample as the Python client read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadSample {
    /// Name with its suffix, such as `_bucket`.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The value as Python writes a float, so that `nan` equals itself.
    pub value: String,
    /// Labels of the exemplar; `None` without one.
    pub exemplar: Option<BTreeMap<String, String>>,
}

/// Why a parser did not accept the page.
#[derive(Debug, thiserror::Error)]
pub enum ParserError {
    /// The parser is not on this machine; the text is a reason to skip.
    #[error("run the parser: {0}")]
    Missing(String),
    /// The parser complained.
    #[error("have the page accepted: {0}")]
    Refused(String),
}

/// Has `promtool check metrics` read a page of Prometheus text; a warning counts as a complaint.
///
/// # Errors
/// When promtool is not on the PATH, or complains.
pub fn promtool(page: &str) -> Result<(), ParserError> {
    let output = feed(OsStr::new("promtool"), &["check", "metrics"], page)?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() && said.is_empty() {
        Ok(())
    } else {
        Err(ParserError::Refused(said.into_owned()))
    }
}

/// Has the Python client read a page, for OpenMetrics with its strict parser, and returns every sample.
///
/// The interpreter is `GATEWAYZ_PYTHON`, else the one in `target/venv` of the checkout.
///
/// # Errors
/// When there is no such interpreter, it has no `prometheus_client`, or the parser refuses the page.
///
/// # Panics
/// When the interpreter answers with something else than samples.
pub fn python_client(format: PageFormat, page: &str) -> Result<Vec<ReadSample>, ParserError> {
    let python = python_with(&["prometheus_client"]).map_err(ParserError::Missing)?;
    let format = match format {
        PageFormat::Text => "text",
        PageFormat::OpenMetrics => "openmetrics",
    };
    let output = feed(python.as_os_str(), &["-c", PYTHON_READER, format], page)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(ParserError::Refused(said.into_owned()));
    }
    let samples = String::from_utf8(output.stdout).expect("read the samples");
    Ok(samples.lines().map(read_sample).collect())
}

fn feed(program: &OsStr, arguments: &[&str], input: &str) -> Result<Output, ParserError> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|_| ParserError::Missing(format!("{} is not installed", program.display())))?;
    let mut stdin = child.stdin.take().expect("a piped stdin");
    if let Err(error) = stdin.write_all(input.as_bytes()) {
        // A parser that gives up early closes its side; what it says about it follows.
        assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{error}");
    }
    drop(stdin);
    Ok(child.wait_with_output().expect("wait for the parser"))
}

fn read_sample(line: &str) -> ReadSample {
    let fields: [Value; 4] = serde_json::from_str(line).expect("read a sample");
    let [name, labels, value, exemplar] = fields;
    ReadSample {
        name: serde_json::from_value(name).expect("read a name"),
        labels: serde_json::from_value(labels).expect("read labels"),
        value: serde_json::from_value(value).expect("read a value"),
        exemplar: serde_json::from_value(exemplar).expect("read an exemplar"),
    }
}
