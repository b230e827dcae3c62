//! Panels as Grafana reads them.

use serde_json::{Map, Value, json};

use crate::queries::{Datasource, Query};

/// Columns of a dashboard.
const COLUMNS: u32 = 24;
/// Names of the queries of a panel.
const REFS: [&str; 6] = ["A", "B", "C", "D", "E", "F"];

/// One panel: one or more queries of the table and their form.
#[derive(Clone, Copy)]
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) form: Form,
    pub(super) queries: &'static [Query],
    /// Columns, of 24.
    pub(super) width: u32,
    /// In steps of 30 pixels.
    pub(super) height: u32,
    /// Values from which a colour begins, after green.
    pub(super) thresholds: &'static [(&'static str, f64)],
    /// Ends of the scale of a gauge or graph; found from the values without.
    pub(super) range: (Option<f64>, Option<f64>),
    /// Words for single values.
    pub(super) words: &'static [(&'static str, &'static str, &'static str)],
    /// What stands in the panel without values.
    pub(super) no_data: &'static str,
}

/// How the values are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One number for each series.
    Stat,
    /// One number on a scale for each series.
    Gauge,
    /// Lines over the time.
    Graph,
    /// Log lines.
    Lines,
    /// A table of traces.
    Traces,
    /// The spans of one trace.
    Trace,
    /// A heading.
    Heading,
}

pub(super) const NO_TRAFFIC: &str = "No traffic";

impl Panel {
    pub(super) const fn new(form: Form, queries: &'static [Query], width: u32, height: u32) -> Self {
        let title = match queries {
            [first, ..] => first.title,
            [] => "",
        };
        Self {
            title,
            form,
            queries,
            width,
            height,
            thresholds: &[],
            range: (None, None),
            words: &[],
            no_data: NO_TRAFFIC,
        }
    }

    pub(super) const fn heading(title: &'static str) -> Self {
        Self {
            title,
            ..Self::new(Form::Heading, &[], COLUMNS, 1)
        }
    }

    fn json(&self, id: usize, column: u32, line: u32) -> Value {
        let source = self.queries.first().map(|query| query.datasource);
        let mut panel = json!({
            "id": id,
            "title": self.title,
            "type": self.form.plugin(),
            "gridPos": { "h": self.height, "w": self.width, "x": column, "y": line },
        });
        let Some(source) = source else {
            panel["collapsed"] = false.into();
            panel["panels"] = json!([]);
            return panel;
        };
        let descriptions: Vec<&str> = self.queries.iter().map(|query| query.description).collect();
        panel["description"] = descriptions.join(" ").into();
        panel["datasource"] = datasource(source);
        panel["targets"] = self
            .queries
            .iter()
            .zip(REFS)
            .map(|(query, name)| self.target(query, name))
            .collect();
        panel["fieldConfig"] = self.field_config();
        panel["options"] = self.form.options();
        panel
    }

    fn target(&self, query: &Query, name: &str) -> Value {
        let text = query.templated();
        let own = match query.datasource {
            Datasource::Prometheus => json!({
                "expr": text,
                "legendFormat": if query.legend.is_empty() { "__auto" } else { query.legend },
                "range": self.form == Form::Graph,
                "instant": self.form != Form::Graph,
                "exemplar": self.form == Form::Graph && text.contains("_bucket"),
                "editorMode": "code",
            }),
            Datasource::Loki => {
                json!({ "expr": text, "queryType": "range", "maxLines": 500, "editorMode": "code" })
            }
            Datasource::Tempo => {
                json!({ "query": text, "queryType": "traceql", "filters": [], "tableType": "traces", "limit": 50 })
            }
        };
        let mut target = json!({ "refId": name, "datasource": datasource(query.datasource) });
        if let (Value::Object(target), Value::Object(own)) = (&mut target, own) {
            target.extend(own);
        }
        target
    }

    fn field_config(&self) -> Value {
        let unit = self.queries.first().map_or("", |query| query.unit);
        let mut defaults = Map::new();
        if !unit.is_empty() {
            defaults.insert("unit".to_owned(), unit.into());
        }
        for (key, end) in [("min", self.range.0), ("max", self.range.1)] {
            if let Some(end) = end {
                defaults.insert(key.to_owned(), end.into());
            }
        }
        defaults.insert("noValue".to_owned(), self.no_data.into());
        let first = json!({ "color": "green", "value": null });
        let more = self
            .thresholds
            .iter()
            .map(|(color, value)| json!({ "color": color, "value": value }));
        let steps: Vec<Value> = std::iter::once(first).chain(more).collect();
        defaults.insert(
            "thresholds".to_owned(),
            json!({ "mode": "absolute", "steps": steps }),
        );
        defaults.insert("mappings".to_owned(), self.mappings());
        if self.form == Form::Graph {
            defaults.insert("color".to_owned(), json!({ "mode": "palette-classic" }));
            let thresholds = if self.thresholds.is_empty() {
                "off"
            } else {
                "dashed"
            };
            defaults.insert(
                "custom".to_owned(),
                json!({
                    "drawStyle": "line",
                    "fillOpacity": 10,
                    "lineWidth": 1,
                    "showPoints": "auto",
                    "spanNulls": false,
                    "thresholdsStyle": { "mode": thresholds },
                }),
            );
        } else {
            defaults.insert("color".to_owned(), json!({ "mode": "thresholds" }));
        }
        json!({ "defaults": defaults, "overrides": self.overrides() })
    }

    fn mappings(&self) -> Value {
        if self.words.is_empty() {
            return json!([]);
        }
        let options: Map<String, Value> = self
            .words
            .iter()
            .zip(0..)
            .map(|((value, word, color), index)| {
                let shown = json!({ "text": word, "color": color, "index": index });
                ((*value).to_owned(), shown)
            })
            .collect();
        json!([{ "type": "value", "options": options }])
    }

    fn overrides(&self) -> Value {
        if self.form != Form::Traces {
            return json!([]);
        }
        let link = json!({
            "title": "Spans and lines of this trace",
            "url": "/d/gatewayz-fastapi?${__url_time_range}&var-app=${app}&var-service=${service}&var-trace_id=${__value.raw}",
            "targetBlank": false,
        });
        json!([{
            "matcher": { "id": "byName", "options": "traceID" },
            "properties": [{ "id": "links", "value": [link] }],
        }])
    }
}

impl Form {
    const fn plugin(self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::Gauge => "gauge",
            Self::Graph => "timeseries",
            Self::Lines => "logs",
            Self::Traces => "table",
            Self::Trace => "traces",
            Self::Heading => "row",
        }
    }

    fn options(self) -> Value {
        let reduced = json!({ "calcs": ["lastNotNull"], "fields": "", "values": false });
        match self {
            Self::Stat => json!({
                "reduceOptions": reduced,
                "colorMode": "value",
                "graphMode": "none",
                "justifyMode": "auto",
                "orientation": "auto",
                "textMode": "auto",
            }),
            Self::Gauge => json!({
                "reduceOptions": reduced,
                "orientation": "auto",
                "showThresholdLabels": false,
                "showThresholdMarkers": true,
            }),
            Self::Graph => json!({
                "legend": { "calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": true },
                "tooltip": { "mode": "multi", "sort": "desc" },
            }),
            Self::Lines => json!({
                "dedupStrategy": "none",
                "enableLogDetails": true,
                "prettifyLogMessage": false,
                "showCommonLabels": false,
                "showLabels": false,
                "showTime": true,
                "sortOrder": "Descending",
                "wrapLogMessage": true,
            }),
            Self::Traces => json!({ "cellHeight": "sm", "showHeader": true }),
            Self::Trace | Self::Heading => json!({}),
        }
    }
}

/// The reference to a provisioned data source.
pub(super) fn datasource(source: Datasource) -> Value {
    json!({ "type": source.uid(), "uid": source.uid() })
}

/// The panels with their ids and places.
pub(super) fn placed(panels: &[Panel]) -> Vec<Value> {
    let (mut column, mut line, mut tallest) = (0, 0, 0);
    let mut placed = Vec::with_capacity(panels.len());
    for (id, panel) in (1..).zip(panels) {
        if column + panel.width > COLUMNS {
            line += tallest;
            (column, tallest) = (0, 0);
        }
        placed.push(panel.json(id, column, line));
        column += panel.width;
        tallest = tallest.max(panel.height);
    }
    placed
}
