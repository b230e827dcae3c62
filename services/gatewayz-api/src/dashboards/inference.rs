//! The dashboard of the calls of models: rate, errors, time, tokens, cost, providers, cache.

use super::Dashboard;
use super::panel::{Form, Panel};
use super::variable::{APP, MODEL, PROVIDER, Variable};
use crate::queries::{Query, inference};

const NO_CALLS: &str = "No calls";
const NO_CATALOG: &str = "No catalog";

pub(super) const DASHBOARD: Dashboard = Dashboard {
    uid: super::INFERENCE,
    title: "Inference",
    description: "Calls of models: how many, how they end, how long they take, what they cost, and who answers.",
    variables: &[APP, PROVIDER, MODEL, Variable::Service],
    panels: &[
        Panel {
            no_data: NO_CALLS,
            ..Panel::new(Form::Stat, &[inference::INFERENCE_CALLS], 4, 5)
        },
        Panel {
            thresholds: &[("yellow", 0.01), ("red", 0.05)],
            no_data: NO_CALLS,
            ..Panel::new(Form::Stat, &[inference::INFERENCE_FAILED_SHARE], 4, 5)
        },
        Panel {
            no_data: NO_CALLS,
            ..Panel::new(Form::Stat, &[inference::INFERENCE_TOKENS], 4, 5)
        },
        Panel {
            no_data: NO_CALLS,
            ..Panel::new(Form::Stat, &[inference::INFERENCE_COST], 4, 5)
        },
        Panel {
            words: &[("0", "Down", "red"), ("1", "Up", "green")],
            no_data: NO_CATALOG,
            ..Panel::new(Form::Stat, &[inference::PROVIDER_AVAILABILITY], 4, 5)
        },
        Panel {
            no_data: "No cached calls",
            ..Panel::new(Form::Stat, &[inference::CACHE_HIT_RATE], 4, 5)
        },
        graph("Calls Per Second", &[inference::MODEL_INFERENCE_RATE]),
        graph("Failed Calls Per Second", &[inference::INFERENCE_ERRORS]),
        graph(
            "Call Duration",
            &[
                inference::INFERENCE_DURATION_P50,
                inference::INFERENCE_DURATION_P95,
                inference::INFERENCE_DURATION_P99,
            ],
        ),
        graph(
            "Time To First Token",
            &[
                inference::INFERENCE_FIRST_TOKEN_P50,
                inference::INFERENCE_FIRST_TOKEN_P95,
                inference::INFERENCE_FIRST_TOKEN_P99,
            ],
        ),
        graph("Tokens Per Second", &[inference::TOKEN_CONSUMPTION]),
        graph("Cost Per Hour", &[inference::INFERENCE_COST_RATE]),
        Panel::heading("Providers"),
        graph("Provider Response Time P95", &[inference::PROVIDER_RESPONSE_P95]),
        Panel {
            thresholds: &[("yellow", 0.1), ("red", 0.5)],
            range: (Some(0.0), Some(1.0)),
            no_data: NO_CATALOG,
            ..graph("Provider Error Rate", &[inference::PROVIDER_ERRORS])
        },
        Panel {
            words: &[("0", "Closed", "green"), ("1", "Open", "red")],
            no_data: NO_CATALOG,
            ..Panel::new(Form::Stat, &[inference::PROVIDER_BREAKERS], 24, 5)
        },
        Panel::heading("Cache"),
        graph(
            "Cache Hits And Misses",
            &[inference::CACHE_RATE, inference::CACHE_MISSES],
        ),
        graph("Cache Size", &[inference::CACHE_SIZE]),
        Panel::heading("Lines and traces"),
        Panel {
            no_data: "No failed calls",
            ..Panel::new(Form::Lines, &[inference::FAILED_CALLS], 12, 10)
        },
        Panel {
            no_data: "No attempts at providers",
            ..Panel::new(Form::Traces, &[inference::PROVIDER_TRACES], 12, 10)
        },
    ],
};

const fn graph(title: &'static str, queries: &'static [Query]) -> Panel {
    Panel {
        title,
        range: (Some(0.0), None),
        no_data: NO_CALLS,
        ..Panel::new(Form::Graph, queries, 12, 8)
    }
}
