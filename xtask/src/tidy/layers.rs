//! Dependencies between our crates point down only.

use toml::{Table, Value};

use super::Finding;
use super::tree::Tree;

/// Lower crates know nothing of higher ones, nor of those beside them.
const LAYERS: [&[&str]; 4] = [
    &["gatewayz-config", "gatewayz-delivery", "gatewayz-metrics"],
    &[
        "gatewayz-admin-auth",
        "gatewayz-logging",
        "gatewayz-loki",
        "gatewayz-tracing",
    ],
    &["gatewayz-inference", "gatewayz-telemetry"],
    &["gatewayz-api"],
];
const TESTKIT: &str = "gatewayz-testkit";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.texts_ending("Cargo.toml")
        .flat_map(|(path, text)| check_manifest(path, text))
        .collect()
}

fn check_manifest(path: &str, text: &str) -> Vec<Finding> {
    let manifest: Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![Finding::new(path, 0, format!("is not TOML: {}", error.message()))],
    };
    let Some(package) = manifest
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(Value::as_str)
    else {
        return Vec::new();
    };
    // Examples and tasks stand beside the service: they use the crates as any other team would.
    let is_library = path.starts_with("crates/") || path.starts_with("services/");
    let own_layer = if is_library {
        layer(package)
    } else {
        Some(LAYERS.len() - 1)
    };
    let own_layer = match own_layer {
        Some(layer) => layer,
        None if package == TESTKIT => 0,
        None => {
            let message = format!("{package} has no layer; name it in LAYERS of xtask/src/tidy/layers.rs");
            return vec![Finding::new(path, 0, message)];
        }
    };
    let mut findings = Vec::new();
    for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
        let names = manifest
            .get(kind)
            .and_then(Value::as_table)
            .into_iter()
            .flat_map(Table::keys);
        for name in names.filter(|name| name.starts_with("gatewayz-")) {
            let message = if name == TESTKIT {
                if kind == "dev-dependencies" || package == "xtask" {
                    continue;
                }
                format!("{TESTKIT} is for tests; move it to [dev-dependencies]")
            } else {
                if layer(name).is_some_and(|layer| layer < own_layer) {
                    continue;
                }
                format!(
                    "{package} may not depend on {name}, which is not below it; move the shared part down or the \
                     composition up"
                )
            };
            findings.push(Finding::new(path, line_of(text, kind, name), message));
        }
    }
    findings
}

fn layer(package: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&package))
}

fn line_of(text: &str, kind: &str, name: &str) -> usize {
    let header = format!("[{kind}]");
    let in_table = text
        .lines()
        .enumerate()
        .skip_while(|(_, line)| line.trim() != header);
    let mut found = in_table.filter(|(_, line)| line.starts_with(name));
    found.next().map_or(0, |(index, _)| index + 1)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    #[track_caller]
    fn finds(path: &str, package: &str, dependencies: &str, expected: &[&str]) {
        let manifest = format!("[package]\nname = \"{package}\"\n{dependencies}");

        let findings = check(&Tree::of(&[(path, &manifest)]));

        let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), expected.len(), "{lines:?}");
        for (line, start) in lines.iter().zip(expected) {
            assert!(line.starts_with(start), "{line}");
        }
    }

    #[test]
    fn a_dependency_downwards_is_fine() {
        let dependencies = "[dependencies]\ngatewayz-delivery.workspace = true\n\
                            [dev-dependencies]\ngatewayz-testkit.workspace = true\n";
        finds(
            "crates/gatewayz-loki/Cargo.toml",
            "gatewayz-loki",
            dependencies,
            &[],
        );
    }

    #[test]
    fn a_dependency_upwards_or_sideways_is_refused() {
        let dependencies =
            "[dependencies]\ngatewayz-api.workspace = true\ngatewayz-tracing.workspace = true\n";
        let path = "crates/gatewayz-loki/Cargo.toml";
        let expected = [
            "crates/gatewayz-loki/Cargo.toml:4: gatewayz-loki may not depend on gatewayz-api",
            "crates/gatewayz-loki/Cargo.toml:5: gatewayz-loki may not depend on gatewayz-tracing",
        ];
        finds(path, "gatewayz-loki", dependencies, &expected);
    }

    #[test]
    fn the_testkit_is_for_tests() {
        let dependencies = "[dependencies]\ngatewayz-testkit.workspace = true\n";
        let expected = ["services/gatewayz-api/Cargo.toml:4: gatewayz-testkit is for tests"];
        finds(
            "services/gatewayz-api/Cargo.toml",
            "gatewayz-api",
            dependencies,
            &expected,
        );
        finds("xtask/Cargo.toml", "xtask", dependencies, &[]);
    }

    #[test]
    fn an_example_uses_crates_but_not_the_service() {
        let dependencies =
            "[dependencies]\ngatewayz-api.workspace = true\ngatewayz-telemetry.workspace = true\n";
        finds(
            "examples/shop/Cargo.toml",
            "shop",
            dependencies,
            &["examples/shop/Cargo.toml:4: shop may not"],
        );
    }

    #[test]
    fn a_new_crate_needs_a_layer() {
        finds(
            "crates/gatewayz-new/Cargo.toml",
            "gatewayz-new",
            "",
            &["crates/gatewayz-new/Cargo.toml: gatewayz-new has no layer"],
        );
    }
}
