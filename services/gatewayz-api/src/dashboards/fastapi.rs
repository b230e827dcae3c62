//! The FastAPI Dashboard: requests, the process, log lines and traces.

use super::Dashboard;
use super::panel::{Form, Panel};
use super::variable::{APP, METHOD, PATH, TRACE_ID, Variable};
use crate::queries::{explore, http};

const MEBIBYTE: f64 = 1024.0 * 1024.0;
const NO_TRACE: &str = "Enter a trace id at the top, or follow one from a table of traces";

pub(super) const DASHBOARD: Dashboard = Dashboard {
    uid: super::FASTAPI,
    title: "FastAPI Dashboard",
    description: "Requests by route template, the process, and the log lines and traces of the same requests.",
    variables: &[APP, METHOD, PATH, Variable::Service, TRACE_ID],
    panels: &[
        Panel::new(Form::Stat, &[http::TOTAL_REQUESTS], 5, 6),
        Panel {
            thresholds: &[("yellow", 1.0), ("red", 5.0)],
            ..Panel::new(
                Form::Stat,
                &[http::ERRORS_PER_SECOND, http::CLIENT_ERRORS_PER_SECOND],
                6,
                6,
            )
        },
        Panel {
            thresholds: &[("yellow", 50.0), ("red", 80.0)],
            range: (Some(0.0), Some(100.0)),
            no_data: "No scrape",
            ..Panel::new(Form::Gauge, &[http::CPU_USAGE], 5, 6)
        },
        Panel {
            no_data: "No scrape",
            ..Panel::new(Form::Stat, &[http::CPU_CORES, http::CPU_CORES_USED], 3, 6)
        },
        Panel {
            thresholds: &[("yellow", 512.0 * MEBIBYTE), ("red", 1024.0 * MEBIBYTE)],
            range: (Some(0.0), Some(2048.0 * MEBIBYTE)),
            no_data: "No scrape",
            ..Panel::new(Form::Gauge, &[http::MEMORY_USAGE], 5, 6)
        },
        Panel {
            range: (Some(0.0), None),
            ..Panel::new(Form::Graph, &[http::REQUESTS_PER_MINUTE], 12, 9)
        },
        Panel {
            range: (Some(0.0), None),
            ..Panel::new(Form::Graph, &[http::AVERAGE_RESPONSE_TIME], 12, 9)
        },
        Panel {
            range: (Some(0.0), None),
            ..Panel::new(Form::Graph, &[http::REQUEST_DURATION_P60], 12, 9)
        },
        Panel {
            title: "Request Duration P50, P95, P99",
            range: (Some(0.0), None),
            ..Panel::new(
                Form::Graph,
                &[
                    http::REQUEST_DURATION_P50,
                    http::REQUEST_DURATION_P95,
                    http::REQUEST_DURATION_P99,
                ],
                12,
                9,
            )
        },
        Panel {
            range: (Some(0.0), None),
            ..Panel::new(Form::Graph, &[http::REQUESTS_IN_PROGRESS], 12, 7)
        },
        Panel {
            thresholds: &[("red", 1.0)],
            ..Panel::new(Form::Stat, &[http::EXCEPTIONS], 12, 7)
        },
        Panel {
            no_data: "No log lines: Loki is off, or nothing was written",
            ..Panel::new(Form::Lines, &[http::LOGGER_STREAM], 24, 10)
        },
        Panel {
            title: "Traces",
            no_data: "No traces: export is off, or none is old enough to be found (about 30 s)",
            ..Panel::new(Form::Traces, &[explore::SERVICE_TRACES], 12, 9)
        },
        Panel {
            no_data: "No failed traces",
            ..Panel::new(Form::Traces, &[explore::ERROR_TRACES], 12, 9)
        },
        Panel::heading("One trace"),
        Panel {
            title: "Spans",
            no_data: NO_TRACE,
            ..Panel::new(Form::Trace, &[explore::ONE_TRACE], 12, 14)
        },
        Panel {
            no_data: NO_TRACE,
            ..Panel::new(Form::Lines, &[explore::ONE_TRACE_LINES], 12, 14)
        },
    ],
};
