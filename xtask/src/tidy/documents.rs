//! Markdown: relative links lead somewhere.

use super::Finding;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.texts_ending(".md")
        .flat_map(|(path, text)| check_file(tree, path, text))
        .collect()
}

fn check_file(tree: &Tree, path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_code = false;
    for (line_number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for target in targets(line).filter(|target| is_relative(target)) {
            let file = target.split(['#', '?']).next().unwrap_or(target);
            let leads_somewhere = resolve(path, file).is_some_and(|resolved| tree.contains(&resolved));
            if !leads_somewhere {
                let message = format!("the link to {target} leads nowhere; mend or remove it");
                findings.push(Finding::new(path, line_number, message));
            }
        }
    }
    findings
}

/// Targets of `[text](target)` and `[text](target "title")` outside inline code.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split('`')
        .step_by(2)
        .flat_map(|prose| prose.split("](").skip(1))
        .filter_map(|rest| rest.split([')', ' ']).next())
}

fn is_relative(target: &str) -> bool {
    let has_scheme = target
        .split_once(':')
        .is_some_and(|(scheme, _)| !scheme.contains(['/', '.']));
    !(target.is_empty() || target.starts_with('#') || has_scheme)
}

/// Path from the root; `None` when it leaves the workspace.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = if target.starts_with('/') {
        Vec::new()
    } else {
        from.split('/').collect()
    };
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    #[track_caller]
    fn finds(text: &str, expected: &[&str]) {
        let tree = Tree::of(&[
            ("README.md", "# Top\n"),
            ("docs/adr/0001.md", "# One\n"),
            ("docs/a.md", text),
        ]);

        let lines: Vec<_> = check(&tree).iter().map(ToString::to_string).collect();

        assert_eq!(lines, expected);
    }

    #[test]
    fn links_to_files_folders_headings_and_sites_are_fine() {
        finds(
            "[a](adr/0001.md#one) [b](adr) [c](../README.md \"Top\") [d](#here) [e](https://x.example/y)\n",
            &[],
        );
    }

    #[test]
    fn a_link_to_nothing_is_refused() {
        finds(
            "\n[a](gone.md#x)\n",
            &["docs/a.md:2: the link to gone.md#x leads nowhere; mend or remove it"],
        );
        finds(
            "[a](../../b.md)\n",
            &["docs/a.md:1: the link to ../../b.md leads nowhere; mend or remove it"],
        );
    }

    #[test]
    fn code_is_not_read_for_links() {
        finds("```\n[a](gone.md)\n```\nand `[b](gone.md)`\n", &[]);
    }
}
