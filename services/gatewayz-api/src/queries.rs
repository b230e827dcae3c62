//! The one table of queries: what `/api/metrics/grafana-queries` shows and what dashboards are made of.

pub mod explore;
pub mod http;
pub mod inference;
pub mod telemetry;

pub use explore::{LOKI_QUERIES, TEMPO_QUERIES};
pub use http::PANELS;
pub use inference::INFERENCE;
pub use telemetry::TELEMETRY;

/// The matcher of what a dashboard's variables choose, for a query that chooses nothing.
const ANY_CALL: &str = r#"provider=~".+", model=~".+""#;
const ANY_PROVIDER: &str = r#"provider=~".+""#;
const ANY_CACHE: &str = r#"cache_name=~".+""#;

/// Where a query is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datasource {
    /// PromQL.
    Prometheus,
    /// LogQL.
    Loki,
    /// TraceQL.
    Tempo,
}

impl Datasource {
    /// Uid of the provisioned data source, and Grafana's name of its type.
    #[must_use]
    pub const fn uid(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::Loki => "loki",
            Self::Tempo => "tempo",
        }
    }
}

/// One query with what a panel needs to show it.
///
/// The expression has placeholders for what differs between a dashboard and a query to paste: `<http>`, `<calls>`,
/// `<provider>` and `<cache>` (matchers), `<own>` (keeps the series of the app's instances), `<own_once>` (of those it has
/// had within `<range>`), `<service>`, `<rate>` and `<range>` (windows), `<trace_id>`. [`Query::filled`] and
/// [`Query::templated`] replace them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// Key in JSON answers.
    pub key: &'static str,
    /// Title of the panel.
    pub title: &'static str,
    /// Where it is asked.
    pub datasource: Datasource,
    /// The query, with placeholders.
    pub expression: &'static str,
    /// Grafana's name of the unit; empty without one.
    pub unit: &'static str,
    /// Name of each line in Grafana's notation; empty for a single value.
    pub legend: &'static str,
    /// What the value means.
    pub description: &'static str,
}

/// What takes the places of a query's placeholders. Texts may be Grafana variables such as `$app_name`.
#[derive(Debug, Clone, Copy)]
pub struct Fill<'a> {
    /// `app_name` of the metrics.
    pub app_name: &'a str,
    /// `service` of the log lines, `service.name` of the traces.
    pub service_name: &'a str,
    /// Window of a rate: at least four scrapes long, or `$__rate_interval`.
    pub rate_window: &'a str,
    /// Window of a total, or `$__range`.
    pub range: &'a str,
    /// 32 hexadecimal digits.
    pub trace_id: &'a str,
}

impl Query {
    /// The query to paste: for every route, provider and model of one app.
    #[must_use]
    pub fn filled(&self, fill: &Fill<'_>) -> String {
        let app = format!("app_name=\"{}\"", escaped(fill.app_name));
        self.expression
            .replace("<http>", &app)
            .replace("<own>", &own_instances(&app))
            .replace("<own_once>", &once_own_instances(&app))
            .replace("<calls>", ANY_CALL)
            .replace("<provider>", ANY_PROVIDER)
            .replace("<cache>", ANY_CACHE)
            .replace("<service>", &escaped(fill.service_name))
            .replace("<rate>", fill.rate_window)
            .replace("<range>", fill.range)
            .replace("<trace_id>", fill.trace_id)
    }

    /// The query of a dashboard with the variables app, method, path, provider, model, service and trace_id.
    #[must_use]
    pub fn templated(&self) -> String {
        let app = r#"app_name="$app""#;
        self.expression
            .replace("<http>", r#"app_name="$app", method=~"$method", path=~"$path""#)
            .replace("<own>", &own_instances(app))
            .replace("<own_once>", &once_own_instances(app))
            .replace("<calls>", r#"provider=~"$provider", model=~"$model""#)
            .replace("<provider>", r#"provider=~"$provider""#)
            // The self-test has a cache of its own.
            .replace("<cache>", r#"cache_name!="selftest""#)
            .replace("<service>", "$service")
            .replace("<rate>", "$__rate_interval")
            .replace("<range>", "$__range")
            .replace("<trace_id>", "$trace_id")
    }
}

const fn prometheus(
    key: &'static str,
    title: &'static str,
    expression: &'static str,
    description: &'static str,
) -> Query {
    Query {
        key,
        title,
        datasource: Datasource::Prometheus,
        expression,
        unit: "",
        legend: "",
        description,
    }
}

const fn loki(
    key: &'static str,
    title: &'static str,
    expression: &'static str,
    description: &'static str,
) -> Query {
    Query {
        datasource: Datasource::Loki,
        ..prometheus(key, title, expression, description)
    }
}

const fn tempo(
    key: &'static str,
    title: &'static str,
    expression: &'static str,
    description: &'static str,
) -> Query {
    Query {
        datasource: Datasource::Tempo,
        ..prometheus(key, title, expression, description)
    }
}

/// What keeps the series of the app's instances, for metrics that have no label `app_name`.
fn own_instances(app: &str) -> String {
    format!("and on (job, instance) fastapi_app_info{{{app}}}")
}

/// The same for a total over `<range>`, to which instances that are gone by its end have added.
fn once_own_instances(app: &str) -> String {
    format!("and on (job, instance) last_over_time(fastapi_app_info{{{app}}}[<range>])")
}

/// The inside of a double-quoted text, the same in all three languages.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests;
