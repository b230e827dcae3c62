//! The queries as `/api/metrics/grafana-queries` shows them.

use serde_json::{Map, Value, json};

use crate::queries::{self, Fill, LOKI_QUERIES, PANELS, Query, TEMPO_QUERIES};

/// Every query, ready to paste: those of panels with their dashboard, and those to explore with.
#[must_use]
pub fn listing(fill: &Fill<'_>) -> Value {
    let boards = [
        (super::FASTAPI, PANELS),
        (super::INFERENCE, queries::INFERENCE),
        (super::TELEMETRY, queries::TELEMETRY),
    ];
    let panels = boards.into_iter().flat_map(|(dashboard, queries)| {
        let panel = move |query: &Query| (query.key.to_owned(), panel(query, dashboard, fill));
        queries.iter().map(panel)
    });
    let text = |query: &Query| (query.key.to_owned(), Value::String(query.filled(fill)));
    json!({
        "dashboard_id": "16110",
        "dashboard_name": "FastAPI Observability",
        "panels": panels.collect::<Map<_, _>>(),
        "loki_queries": LOKI_QUERIES.iter().map(text).collect::<Map<_, _>>(),
        "tempo_queries": TEMPO_QUERIES.iter().map(text).collect::<Map<_, _>>(),
    })
}

fn panel(query: &Query, dashboard: &str, fill: &Fill<'_>) -> Value {
    json!({
        "title": query.title,
        "query": query.filled(fill),
        "description": query.description,
        "unit": query.unit,
        "datasource": query.datasource.uid(),
        "dashboard": dashboard,
    })
}
