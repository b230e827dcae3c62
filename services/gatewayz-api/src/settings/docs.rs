//! The page `docs/CONFIGURATION.md`.

use super::SCHEMA;

const INTRODUCTION: &str = "\
# Configuration

Generated from the schema in `services/gatewayz-api/src/settings.rs` by `cargo xtask codegen`; do not edit.

Every setting is a flat variable. Four layers may give it a value, the later ones winning:

1. the default of this page,
2. `CONFIG_FILE`, a TOML file with the same names as keys, in any case,
3. the env file: `ENV_FILE`, else `deploy/env/$ENVIRONMENT.env` under the working directory if it is there,
4. the environment of the process.

An empty value means unset: it hides the layers below, and the default applies. `ENVIRONMENT`, `CONFIG_FILE` and
`ENV_FILE` come from the environment of the process alone.

`gatewayz-api check-config` prints every setting and its source (`#NAME=` where this page's default applies), and every
mistake at once; with a mistake it exits 78, and so does the service at start. Secrets are shown as `***`, URLs without
user name, password and query. A value is never part of a mistake.

SIGHUP reads all layers and files again and takes over the settings that say so below. With a mistake anywhere nothing
is taken over, and one ERROR line names the settings; other settings whose shown value has changed are named in a WARN
line and wait for the next start.

An unknown key in `CONFIG_FILE` is a mistake. An OpenTelemetry variable that has no effect here is warned about, and so is
an unknown variable with one of these beginnings:
$PREFIXES.
What Kubernetes sets for a service called `loki` or `tempo` (`LOKI_PORT=tcp://...`, `LOKI_SERVICE_HOST` and the like) is
ignored.

Each file is read up to 1 MiB, the file of a secret up to 64 KiB, a pipe for at most 5 s; a value has at most 64 KiB.
";

/// The whole page, for `cargo xtask codegen`.
pub fn configuration_markdown() -> String {
    let prefixes: Vec<String> = SCHEMA
        .prefixes
        .iter()
        .map(|prefix| format!("`{prefix}`"))
        .collect();
    let introduction = INTRODUCTION.replace("$PREFIXES", &prefixes.join(", "));
    format!("{introduction}{}", gatewayz_config::markdown(&SCHEMA))
}
