//! The dashboard of the delivery of telemetry: queues, losses, retries, last success.

use super::Dashboard;
use super::panel::{Form, Panel};
use super::variable::{APP, Variable};
use crate::queries::{Query, telemetry};

const NO_EXPORTER: &str = "No exporter";

pub(super) const DASHBOARD: Dashboard = Dashboard {
    uid: super::TELEMETRY,
    title: "Telemetry health",
    description: "Whether log lines and spans arrive: queues, losses, retries and the last success of each exporter.",
    variables: &[APP, Variable::Service],
    panels: &[
        Panel {
            thresholds: &[("red", 1.0)],
            no_data: NO_EXPORTER,
            ..Panel::new(Form::Stat, &[telemetry::TELEMETRY_LOST], 8, 6)
        },
        Panel {
            thresholds: &[("yellow", 60.0), ("red", 300.0)],
            no_data: "Nothing delivered",
            ..Panel::new(Form::Stat, &[telemetry::TELEMETRY_LAST_SUCCESS], 8, 6)
        },
        Panel {
            thresholds: &[("yellow", 0.5), ("red", 0.7)],
            range: (Some(0.0), Some(1.0)),
            no_data: NO_EXPORTER,
            ..Panel::new(Form::Gauge, &[telemetry::TELEMETRY_QUEUE_SHARE], 8, 6)
        },
        graph(
            "Delivered Per Second",
            &[
                telemetry::TELEMETRY_DELIVERED_LINES,
                telemetry::TELEMETRY_DELIVERED_SPANS,
            ],
        ),
        graph("Lost Records Per Second", &[telemetry::TELEMETRY_LOST_RATE]),
        graph("Queued Bytes", &[telemetry::TELEMETRY_QUEUE_BYTES]),
        graph("Queued Records", &[telemetry::TELEMETRY_QUEUE_RECORDS]),
        graph("Retries Per Second", &[telemetry::TELEMETRY_RETRIES]),
        graph("Attempt Duration P95", &[telemetry::TELEMETRY_ATTEMPT_P95]),
        graph("Delivery Latency P95", &[telemetry::TELEMETRY_LATENCY_P95]),
        graph("Log Lines Per Second", &[telemetry::TELEMETRY_LINES]),
        Panel::heading("Bounds"),
        Panel {
            thresholds: &[("yellow", 1.0)],
            ..Panel::new(Form::Stat, &[telemetry::TELEMETRY_TRUNCATED], 6, 5)
        },
        Panel {
            title: "Suppressed Events, Limited Traces",
            thresholds: &[("yellow", 1.0)],
            ..Panel::new(
                Form::Stat,
                &[telemetry::TELEMETRY_SUPPRESSED, telemetry::TELEMETRY_LIMITED],
                12,
                5,
            )
        },
        Panel {
            thresholds: &[("red", 1.0)],
            ..Panel::new(Form::Stat, &[telemetry::TELEMETRY_PANICS], 6, 5)
        },
        Panel {
            no_data: "No overflow",
            ..Panel::new(Form::Graph, &[telemetry::TELEMETRY_OVERFLOW], 24, 7)
        },
        Panel {
            no_data: "No trouble with a destination",
            ..Panel::new(Form::Lines, &[telemetry::DELIVERY_LINES], 24, 9)
        },
    ],
};

const fn graph(title: &'static str, queries: &'static [Query]) -> Panel {
    Panel {
        title,
        range: (Some(0.0), None),
        no_data: NO_EXPORTER,
        ..Panel::new(Form::Graph, queries, 12, 8)
    }
}
