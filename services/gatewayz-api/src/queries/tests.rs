//! The table against the catalog, and the filling of placeholders.

use std::collections::BTreeSet;

use gatewayz_metrics::Kind;

use super::{Datasource, Fill, INFERENCE, LOKI_QUERIES, PANELS, Query, TELEMETRY, TEMPO_QUERIES};
use crate::METRIC_GROUPS;

const FILL: Fill<'_> = Fill {
    app_name: "gatewayz",
    service_name: "gatewayz-api",
    rate_window: "5m",
    range: "1h",
    trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
};

fn all() -> impl Iterator<Item = &'static Query> {
    let panels = PANELS.iter().chain(INFERENCE).chain(TELEMETRY);
    panels.chain(LOKI_QUERIES).chain(TEMPO_QUERIES)
}

/// Every sample name of the catalog, aliases included.
fn sample_names() -> BTreeSet<String> {
    let families = METRIC_GROUPS
        .iter()
        .copied()
        .flatten()
        .flat_map(|(_, families)| families.iter());
    families
        .flat_map(|family| {
            let aliases = family.aliases.iter().map(|alias| alias.name);
            let names = std::iter::once(family.name).chain(aliases);
            let suffixes: &[&str] = match family.kind {
                Kind::Histogram => &["_bucket", "_sum", "_count"],
                Kind::Counter | Kind::Gauge => &[""],
            };
            names
                .flat_map(|name| suffixes.iter().map(move |suffix| format!("{name}{suffix}")))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Words outside of quotes, braces, windows and grouping lists that no parenthesis follows.
fn metric_names(expression: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0_usize;
    let mut word = String::new();
    let mut grouping = false;
    for symbol in expression.chars().chain([' ']) {
        match symbol {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            _ => {}
        }
        if symbol.is_ascii_alphanumeric() || symbol == '_' {
            word.push(symbol);
            continue;
        }
        let ended = std::mem::take(&mut word);
        match ended.as_str() {
            "by" | "on" => grouping = true,
            "" | "and" | "or" => {}
            _ if depth > usize::from(symbol == '{' || symbol == '[') || symbol == '(' || grouping => {}
            name if name.starts_with(|first: char| first.is_ascii_digit()) => {}
            name => names.push(name.to_owned()),
        }
        if symbol == ')' {
            grouping = false;
        }
    }
    // What remains of aggregations is the word before their grouping list.
    names.retain(|name| !matches!(name.as_str(), "sum" | "min" | "max"));
    names
}

#[test]
fn every_metric_of_a_query_is_in_the_catalog() {
    let known = sample_names();

    let queries = all().filter(|query| query.datasource == Datasource::Prometheus);
    let asked: Vec<String> = queries
        .flat_map(|query| metric_names(&query.filled(&FILL)))
        .collect();

    assert!(asked.len() >= PANELS.len(), "{asked:?}");
    for name in asked {
        assert!(known.contains(&name), "{name}");
    }
}

#[test]
fn no_placeholder_and_no_grafana_variable_is_left_in_a_query_to_paste() {
    for query in all() {
        let filled = query.filled(&FILL);

        assert!(!filled.contains(['<', '$']), "{filled}");
        assert!(!query.templated().contains('<'), "{}", query.templated());
    }
}

#[test]
fn keys_are_unique_and_the_eight_panels_are_there() {
    // All panels stand in one object of `/api/metrics/grafana-queries`.
    for queries in [
        &[PANELS, INFERENCE, TELEMETRY].concat(),
        LOKI_QUERIES,
        TEMPO_QUERIES,
    ] {
        let keys: BTreeSet<&str> = queries.iter().map(|query| query.key).collect();
        assert_eq!(keys.len(), queries.len());
    }
    for title in [
        "Total Requests",
        "Requests Per Minute",
        "Errors Per Second",
        "Average Response Time",
        "Request Duration P60",
        "CPU Usage",
        "Memory Usage",
        "Logger Stream",
    ] {
        assert!(PANELS.iter().any(|panel| panel.title == title), "{title}");
    }
}

#[test]
fn a_name_with_quotes_stays_inside_its_quotes() {
    let fill = Fill {
        app_name: r#"a"b\"#,
        ..FILL
    };

    let filled = PANELS[0].filled(&fill);

    assert_eq!(
        filled,
        r#"sum(increase(fastapi_requests_total{app_name="a\"b\\"}[1h]))"#
    );
}

#[test]
fn a_total_has_what_instances_added_that_are_gone() {
    for query in all().filter(|query| query.expression.contains("[<range>]")) {
        assert!(!query.expression.contains("<own>"), "{}", query.expression);
        if query.expression.contains("<own_once>") {
            let filled = query.filled(&FILL);
            let own = r#"last_over_time(fastapi_app_info{app_name="gatewayz"}[1h])"#;
            assert!(filled.contains(own), "{filled}");
        }
    }
}
