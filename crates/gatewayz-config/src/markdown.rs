//! The schema as a Markdown page.

use std::fmt::Write as _;

use crate::{Schema, Setting};

/// One section with a table per group: variable, values, default, meaning.
pub fn markdown(schema: &Schema) -> String {
    let mut page = String::new();
    for group in schema.groups {
        let _ = writeln!(page, "\n## {}\n", group.title);
        if !group.about.is_empty() {
            let _ = writeln!(page, "{}\n", group.about);
        }
        page.push_str("| Variable | Values | Default | Meaning |\n|---|---|---|---|\n");
        for setting in group.settings {
            page.push_str(&row(setting));
        }
    }
    page
}

fn row(setting: &Setting) -> String {
    let default = match setting.default {
        Some(default) => format!("`{default}`"),
        None if setting.when_unset.is_empty() => "unset".to_owned(),
        None => setting.when_unset.to_owned(),
    };
    let mut values = setting.kind.expected();
    for (alias, word) in setting.aliases {
        let _ = write!(values, "; {alias} = {word}");
    }
    let mut meaning = setting.help.to_owned();
    if setting.secret {
        meaning.push_str(" **Secret**: never shown.");
    }
    if setting.process_only {
        meaning.push_str(" Only from the environment of the process.");
    }
    if setting.reloaded {
        meaning.push_str(" **Read again** at SIGHUP.");
    }
    let [values, default, meaning] = [values, default, meaning].map(|cell| cell.replace('|', "\\|"));
    format!("| `{}` | {values} | {default} | {meaning} |\n", setting.name)
}
