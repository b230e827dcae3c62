//! docs/PERFORMANCE.md and its plot, rendered from the committed results. The text between the marked regions is
//! written by hand.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::limits::{Bound, Figure, SECTIONS};
use super::plot;
use super::report::verdict;
use super::results::Results;

const DOCUMENT: &str = "docs/PERFORMANCE.md";
const PLOT: &str = "docs/performance.svg";

/// The files that the results say, under the top of the tree, with the text they should have.
///
/// # Errors
/// When the results or the document cannot be read, or a region is not marked.
pub(crate) fn document(root: &Path) -> Result<Vec<(&'static str, String)>> {
    let results = Results::load(root)?;
    let text = fs::read_to_string(root.join(DOCUMENT)).with_context(|| format!("read {DOCUMENT}"))?;
    let text = with_region(&text, "machine", &machine(&results))?;
    let text = with_region(&text, "figures", &figures(&results))?;
    Ok(vec![(DOCUMENT, text), (PLOT, plot::draw(&results)?)])
}

/// The text with what stands between the marks of a region replaced.
fn with_region(text: &str, name: &str, content: &str) -> Result<String> {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = text
        .split_once(&start)
        .with_context(|| format!("find the mark of {name} in {DOCUMENT}"))?;
    let (_, after) = rest
        .split_once(&end)
        .with_context(|| format!("find the end of {name} in {DOCUMENT}"))?;
    ensure!(!after.contains(&start), "{DOCUMENT} has two regions {name}");
    Ok(format!("{before}{start}{content}{end}{after}"))
}

fn machine(results: &Results) -> String {
    let mut text = String::from("| | |\n|---|---|\n");
    text.extend(
        results
            .machine
            .iter()
            .map(|(name, fact)| format!("| {name} | {fact} |\n")),
    );
    text
}

fn figures(results: &Results) -> String {
    let sections = SECTIONS.iter().map(|(section, figures)| {
        let rows: String = figures.iter().map(|figure| row(figure, results)).collect();
        format!(
            "\n### {section}\n\n| figure | must | goal | measured | interval | |\n|---|---|---|---|---|---|\n{rows}"
        )
    });
    sections.chain(["\n".to_owned()]).collect()
}

fn row(figure: &Figure, results: &Results) -> String {
    let bound = |bound: Option<Bound>| bound.map_or("-".to_owned(), |bound| bound.words(figure.unit));
    let (measured, interval, words) = match results.figures.get(figure.key) {
        None => ("not measured".to_owned(), "-".to_owned(), ""),
        Some(entry) => (
            figure.unit.show(entry.estimate.median),
            entry
                .estimate
                .interval
                .map_or("-".to_owned(), |ends| figure.unit.show_interval(ends)),
            verdict(figure, entry).words(),
        ),
    };
    format!(
        "| {} | {} | {} | {measured} | {interval} | {words} |\n",
        figure.what,
        bound(figure.must),
        bound(figure.goal)
    )
}

#[cfg(test)]
mod tests {
    use super::super::estimate::Estimate;
    use super::super::limits::CPU;
    use super::super::results::{Entry, Results};
    use super::{row, with_region};

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let text = "a\n<!-- x -->\nold\n<!-- end of x -->\nb\n";

        let replaced = with_region(text, "x", "new\n").unwrap();

        assert_eq!(replaced, "a\n<!-- x -->\nnew\n<!-- end of x -->\nb\n");
        assert!(with_region(text, "y", "").is_err());
    }

    #[test]
    fn a_row_says_the_limits_and_what_was_measured() {
        let mut results = Results::default();
        assert!(row(&CPU, &results).ends_with("| at most 1.25 x | at most 1.15 x | not measured | - |  |\n"));

        let entry = Entry {
            estimate: Estimate::of(vec![1.18, 1.2, 1.24]),
            noise: None,
        };
        results.figures.insert(CPU.key.to_owned(), entry);

        assert!(row(&CPU, &results).ends_with("| 1.20 x | 1.18 to 1.24 x | within the limit |\n"));
    }
}
